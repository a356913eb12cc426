import time
from machine import Pin

led = Pin(13, Pin.OUT)


class Button:
    def __init__(self, pin, on_press=None, on_long=None):
        self.pin = Pin(pin, Pin.IN, Pin.PULL_UP)
        self.on_press = on_press
        self.on_long = on_long
        self._down = None

    def update(self):
        level = self.pin.value()
        now = time.ticks_ms()
        if level == 0 and self._down is None:
            self._down = now
        elif level == 1 and self._down is not None:
            held = time.ticks_diff(now, self._down)
            self._down = None
            if held > 800 and self.on_long:
                self.on_long()
            elif self.on_press:
                self.on_press()


def press():
    led.value(not led.value())


def long_press():
    for _ in range(4):
        led.on()
        time.sleep_ms(40)
        led.off()
        time.sleep_ms(40)


b = Button(14, on_press=press, on_long=long_press)
while True:
    b.update()
    time.sleep_ms(10)
