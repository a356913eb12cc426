# Steps: after WAIT_1_MS the first pin gets LEVEL_1, WAIT_2_MS
# later the second one LEVEL_2, if TWO is 1. Each pin is left
# alone until its step.
from machine import Pin
from time import sleep_ms

WAIT_1_MS = 0
PIN_1 = 2
LEVEL_1 = 1
TWO = 1
WAIT_2_MS = 1000
PIN_2 = 4
LEVEL_2 = 1

sleep_ms(WAIT_1_MS)
first = Pin(PIN_1, Pin.OUT, value=LEVEL_1)
if TWO:
    sleep_ms(WAIT_2_MS)
    second = first if PIN_2 == PIN_1 else Pin(PIN_2, Pin.OUT)
    second.value(LEVEL_2)
