# A door alarm: it prints that the door opens and closes, and the buzzer on pin 5 is on if it is open for 5 seconds.
from machine import Pin
from time import sleep_ms, ticks_diff, ticks_ms

door = Pin(4, Pin.IN, Pin.PULL_UP)
buzzer = Pin(5, Pin.OUT, value=0)
was_open = False
since = ticks_ms()

while True:
    is_open = door.value() == 1
    if is_open != was_open:
        print("door open" if is_open else "door closed")
        was_open = is_open
        since = ticks_ms()
    buzzer.value(is_open and ticks_diff(ticks_ms(), since) > 5000)
    sleep_ms(20)
