from machine import Pin
import time

events = []
btn = Pin(14, Pin.IN, Pin.PULL_UP)
btn.irq(lambda p: events.append((time.ticks_ms(), p.value())), Pin.IRQ_FALLING | Pin.IRQ_RISING)
start = None
while True:
    while events:
        t, level = events.pop(0)
        if level == 0:
            start = t
        elif start is not None:
            ms = time.ticks_diff(t, start)
            print("long" if ms > 400 else "short", ms // 50 * 50)
    time.sleep_ms(20)
