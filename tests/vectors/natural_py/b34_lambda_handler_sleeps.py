import time
from machine import Pin

led = Pin(13, Pin.OUT)


def blink():
    led.on()
    time.sleep_ms(100)
    led.off()


Pin(14, Pin.IN, Pin.PULL_UP).irq(trigger=Pin.IRQ_FALLING, handler=lambda p: blink())
