# Distance on a display: an HC-SR04 measures twice a second.
from hcsr04 import HCSR04
from microclaw import screen
from time import sleep_ms

DISPLAY = screen.ssd1306(sda=8, scl=9)
TRIG_PIN = 5
ECHO_PIN = 18
EVERY_MS = 500

sonar = HCSR04(TRIG_PIN, ECHO_PIN)
while True:
    try:
        cm = int(sonar.distance_cm())
    except OSError:  # nothing sends the sound back
        DISPLAY.text("no echo")
    else:
        DISPLAY.number(cm, "cm", "distance")
        print("distance", cm)
    sleep_ms(EVERY_MS)
