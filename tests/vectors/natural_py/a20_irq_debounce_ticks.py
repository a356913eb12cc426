import time
from machine import Pin

led = Pin(12, Pin.OUT)
btn = Pin(14, Pin.IN, Pin.PULL_UP)
last_press = 0


def pressed(p):
    global last_press
    now = time.ticks_ms()
    if time.ticks_diff(now, last_press) > 200:
        last_press = now
        led.value(not led.value())
        print("toggled")


btn.irq(trigger=Pin.IRQ_FALLING, handler=pressed)
while True:
    time.sleep(1)
