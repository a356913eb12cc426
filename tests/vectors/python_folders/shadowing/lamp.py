on = 'lamp'


def outer():
    on = 1

    def inner():
        nonlocal on
        on += 1
        return on

    return inner()


print(outer(), on)
