# Motion alarm: a PIR sensor's output is high while it sees
# motion. The alarm is on from then until HOLD_MS after it. ON is
# the level that switches it on: 0 where it is lit by low.
from machine import Pin
from time import sleep_ms

PIR_PIN = 4
ALARM_PIN = 5
HOLD_MS = 10000
ON = 1
LOOK_MS = 50

sensor = Pin(PIR_PIN, Pin.IN, Pin.PULL_DOWN)
alarm = Pin(ALARM_PIN, Pin.OUT, value=1 - ON)
left_ms = 0
while True:
    if sensor.value():
        if left_ms == 0:
            alarm.value(ON)
            print("motion")
        left_ms = HOLD_MS + LOOK_MS
    elif left_ms > 0:
        left_ms = max(0, left_ms - LOOK_MS)
        if left_ms == 0:
            alarm.value(1 - ON)
            print("quiet")
    sleep_ms(LOOK_MS)
