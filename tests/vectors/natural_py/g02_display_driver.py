import framebuf
import time
from machine import Pin


class Display(framebuf.FrameBuffer):
    def __init__(self, width, height):
        self.width = width
        self.buffer = bytearray(width * height // 8)
        super().__init__(self.buffer, width, height, framebuf.MONO_VLSB)
        self.poweron()
        self.fill(0)

    def poweron(self):
        led.on()
        time.sleep_ms(120)
        led.off()


class WideDisplay(Display):
    def __init__(self, width):
        super().__init__(width, 8)
        time.sleep_ms(60)
        led.on()


class Missing(Exception):
    def __init__(self, name):
        super().__init__("no " + name)
        time.sleep_ms(10)


led = Pin(13, Pin.OUT)
display = WideDisplay(32)
display.pixel(5, 3, 1)
display.hline(0, 0, display.width, 1)
print(display.pixel(5, 3), sum(display.buffer))
try:
    raise Missing("panel")
except Missing as error:
    print(error)
