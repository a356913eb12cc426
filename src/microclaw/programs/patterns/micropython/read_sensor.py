# Read: print a sensor's value every EVERY_MS, forever.
from microclaw import sensor
from time import sleep_ms

QUANTITY = "temperature"
ADDRESS = 0x76
EVERY_MS = 10000

while True:
    value = sensor(QUANTITY, ADDRESS)
    if value is None:
        print("the sensor for", QUANTITY, "does not answer")
    else:
        print("%s %.2f" % (QUANTITY, value))
    sleep_ms(EVERY_MS)
