# Opens a lock with the code 42#.
from machine import Pin
from time import sleep_ms

KEYS = ("123A", "456B", "789C", "*0#D")
rows = [Pin(pin, Pin.OUT, value=1) for pin in (4, 5, 6, 7)]
columns = [Pin(pin, Pin.IN, Pin.PULL_UP) for pin in (15, 16, 17, 18)]


def scan():
    pressed = None
    for r, row in enumerate(rows):
        row.value(0)
        for c, column in enumerate(columns):
            if column.value() == 0:
                pressed = KEYS[r][c]
        row.value(1)
    return pressed


typed = ""
last = None
while True:
    key = scan()
    if key is not None and key != last:
        print("key", key)
        if key == "#":
            print("open" if typed == "42" else "wrong")
            typed = ""
        else:
            typed += key
    last = key
    sleep_ms(20)
