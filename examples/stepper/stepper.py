# Stepper: the motor on a ULN2003 board turns by ROUNDS of four
# full steps, once; 512 of a 28BYJ-48 are a turn. BACK 1 is the
# other way.
from machine import Pin
from time import sleep_ms

IN1_PIN = 4
IN2_PIN = 5
IN3_PIN = 6
IN4_PIN = 7
ROUNDS = 512
BACK = 0
STEP_MS = 3

coils = (Pin(IN1_PIN, Pin.OUT), Pin(IN2_PIN, Pin.OUT), Pin(IN3_PIN, Pin.OUT), Pin(IN4_PIN, Pin.OUT))
direction = 1 - 2 * BACK
place = 0
for _ in range(4 * ROUNDS):
    place = (place + direction) % 4
    for i in range(4):
        coils[i].value(i == place or i == (place + 1) % 4)
    sleep_ms(STEP_MS)
for coil in coils:
    coil.value(0)
print("done")
