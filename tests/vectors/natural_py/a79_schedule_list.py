import time
from machine import Pin

leds = {name: Pin(n, Pin.OUT) for name, n in (("red", 12), ("green", 13), ("blue", 14))}
schedule = [
    (0, "red", 1),
    (300, "green", 1),
    (500, "red", 0),
    (900, "blue", 1),
    (1200, "green", 0),
]
start = time.ticks_ms()
while schedule:
    at, name, level = schedule[0]
    if time.ticks_diff(time.ticks_ms(), start) >= at:
        schedule.pop(0)
        leds[name].value(level)
        print(f"{at:5d} {name} -> {level}")
    else:
        time.sleep_ms(10)
