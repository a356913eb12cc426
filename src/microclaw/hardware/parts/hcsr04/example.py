# Prints the distance in centimeters, or that nothing is near.
from hcsr04 import HCSR04
from time import sleep_ms

sonar = HCSR04(trigger_pin=4, echo_pin=5)

while True:
    try:
        print("distance: %d cm" % round(sonar.distance_cm()))
    except OSError:
        print("out of range")
    sleep_ms(1000)
