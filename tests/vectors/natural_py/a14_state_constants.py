import time
from machine import Pin
from micropython import const

IDLE = const(0)
RUN = const(1)
STOP = const(2)

led = Pin(13, Pin.OUT)
state = IDLE
entered = time.ticks_ms()
while True:
    elapsed = time.ticks_diff(time.ticks_ms(), entered)
    if state == IDLE and elapsed > 500:
        state, entered = RUN, time.ticks_ms()
        led.on()
    elif state == RUN and elapsed > 300:
        state, entered = STOP, time.ticks_ms()
        led.off()
    elif state == STOP and elapsed > 200:
        state, entered = IDLE, time.ticks_ms()
        print("cycle")
    time.sleep_ms(10)
