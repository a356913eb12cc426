# Threshold: the pin is on while a sensor's value is above
# (ABOVE 1) or below (ABOVE 0) a limit, in thousandths. ON is
# the level that switches it on: 0 where it is lit by low.
from machine import Pin
from microclaw import sensor
from time import sleep_ms

PIN = 4
QUANTITY = "temperature"
ADDRESS = 0x76
LIMIT_MILLI = 28000
ABOVE = 1
HYSTERESIS_MILLI = 500
EVERY_MS = 1000
ON = 1

output = Pin(PIN, Pin.OUT, value=1 - ON)
is_on = None
while True:
    value = sensor(QUANTITY, ADDRESS)
    if value is None:
        print("the sensor for", QUANTITY, "does not answer")
    else:
        excess = value * 1000 - LIMIT_MILLI
        if not ABOVE:
            excess = -excess
        least = 0
        if is_on:
            least = -HYSTERESIS_MILLI
        turn_on = excess > least
        if turn_on is not is_on:
            level = 1 - ON
            word = "off"
            if turn_on:
                level = ON
                word = "on"
            output.value(level)
            print("%s %.2f, pin %d %s" % (QUANTITY, value, PIN, word))
        is_on = turn_on
    sleep_ms(EVERY_MS)
