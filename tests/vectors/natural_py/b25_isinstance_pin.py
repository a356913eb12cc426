from machine import Pin


def setup(p):
    if isinstance(p, int):
        p = Pin(p, Pin.OUT)
    return p


print(isinstance(setup(13), Pin))
