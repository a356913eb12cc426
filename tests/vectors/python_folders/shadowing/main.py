import lamp


def show(lamp):
    return lamp.upper()


def local():
    on = 'local'
    return on, lamp.on


def comprehension():
    return [on + lamp.on for on in 'ab']


print(show('x'), local(), comprehension(), (lambda on: on + lamp.on)('z'))
