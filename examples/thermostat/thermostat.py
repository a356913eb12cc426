# Thermostat: the pin is on from HYSTERESIS_MILLI below the
# setpoint until as much above it (HEATS 1; the other way round
# for a cooler), in thousandths. A sensor that does not answer
# switches it off.
from machine import Pin
from microclaw import sensor
from time import sleep_ms

PIN = 4
QUANTITY = "temperature"
ADDRESS = 0x76
SETPOINT_MILLI = 21000
HYSTERESIS_MILLI = 500
HEATS = 1
EVERY_MS = 1000

output = Pin(PIN, Pin.OUT, value=0)
is_on = None
while True:
    value = sensor(QUANTITY, ADDRESS)
    if value is None:
        print("the sensor for", QUANTITY, "does not answer")
        output.value(0)
        is_on = False
    else:
        missing = SETPOINT_MILLI - value * 1000
        if not HEATS:
            missing = -missing
        turn_on = missing >= HYSTERESIS_MILLI or (missing > -HYSTERESIS_MILLI and is_on is True)
        if turn_on is not is_on:
            output.value(turn_on)
            word = "off"
            if turn_on:
                word = "on"
            print("%s %.2f, pin %d %s" % (QUANTITY, value, PIN, word))
        is_on = turn_on
    sleep_ms(EVERY_MS)
