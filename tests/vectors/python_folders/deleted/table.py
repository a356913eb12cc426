rows = [1]
old = 2


def has_old():
    try:
        return old == 2
    except NameError:
        return False
