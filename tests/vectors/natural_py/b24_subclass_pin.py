from machine import Pin


class Led(Pin):
    def blink(self):
        self.on()


Led(13, Pin.OUT).blink()
