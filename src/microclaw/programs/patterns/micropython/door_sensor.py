# Door sensor: a reed contact connects its pin to ground while
# the door is closed. What changes is printed and published,
# after LOOK_MS three times the same.
from machine import Pin
from microclaw import mqtt
from time import sleep_ms

PIN = 4
LOOK_MS = 20

contact = Pin(PIN, Pin.IN, Pin.PULL_UP)
state = last = None
same = 0
while True:
    level = contact.value()
    same = same + 1 if level == last else 0
    last = level
    if same >= 2 and level != state:
        if state is not None:
            word = "open" if level else "closed"
            print("door", word)
            mqtt.publish("door/%d" % PIN, word)
        state = level
    sleep_ms(LOOK_MS)
