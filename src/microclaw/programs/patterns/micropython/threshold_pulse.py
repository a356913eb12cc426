# Threshold pulse: the pin is on for FOR_MS each time a
# sensor's value comes to be above (ABOVE 1) or below (ABOVE 0)
# a limit, in thousandths; the next time counts when the value
# was back by HYSTERESIS_MILLI in between. ON is the level that
# lights: 0 where the LED is lit by low.
from machine import Pin
from microclaw import sensor
from time import sleep_ms

PIN = 4
QUANTITY = "temperature"
ADDRESS = 0x76
LIMIT_MILLI = 28000
ABOVE = 1
HYSTERESIS_MILLI = 500
FOR_MS = 5000
EVERY_MS = 1000
ON = 1

output = Pin(PIN, Pin.OUT, value=1 - ON)
print("watching", QUANTITY, "for pin", PIN)
was_beyond = False
while True:
    value = sensor(QUANTITY, ADDRESS)
    if value is None:
        print("the sensor for", QUANTITY, "does not answer")
    else:
        excess = value * 1000 - LIMIT_MILLI
        if not ABOVE:
            excess = -excess
        least = 0
        if was_beyond:
            least = -HYSTERESIS_MILLI
        is_beyond = excess > least
        if is_beyond and not was_beyond:
            print("%s %.2f, pin %d on for %d ms" % (QUANTITY, value, PIN, FOR_MS))
            output.value(ON)
            sleep_ms(FOR_MS)
            output.value(1 - ON)
        was_beyond = is_beyond
    sleep_ms(EVERY_MS)
