import time
from machine import Pin, Timer

ticks = 0


def on_tick(t):
    global ticks
    ticks += 1


Timer(3).init(freq=20, mode=Timer.PERIODIC, callback=on_tick)
t0 = time.ticks_ms()
while ticks < 10:
    time.sleep_ms(1)
print("ten ticks after", time.ticks_diff(time.ticks_ms(), t0) // 50 * 50)
x = [0] * 3
x[0], x[1] = ticks, ticks + 1
print(x)
