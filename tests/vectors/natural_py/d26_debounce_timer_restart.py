from machine import Pin, Timer
import time

button = Pin(14, Pin.IN, Pin.PULL_UP)
timer = Timer(0)
led = Pin(13, Pin.OUT)


def settled(t):
    led.value(not led.value())
    print("settled", button.value())


def on_edge(p):
    Timer(0).init(mode=Timer.ONE_SHOT, period=50, callback=settled)


button.irq(trigger=Pin.IRQ_FALLING | Pin.IRQ_RISING, handler=on_edge)
while True:
    time.sleep_ms(100)
