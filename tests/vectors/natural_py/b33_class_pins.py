from machine import Pin


class Relay:
    def __init__(self, pin):
        self.pin = Pin(pin, Pin.OUT)


Relay(12)
Relay(35)
