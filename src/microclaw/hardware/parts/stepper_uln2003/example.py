# Turns a 28BYJ-48 by half steps: a quarter forth and an eighth back.
from machine import Pin
from time import sleep_ms

pins = [Pin(number, Pin.OUT, value=0) for number in (4, 5, 6, 7)]
HALF_STEPS = (0b0001, 0b0011, 0b0010, 0b0110, 0b0100, 0b1100, 0b1000, 0b1001)
place = 0


def turn(half_steps):
    global place
    for _ in range(abs(half_steps)):
        place += 1 if half_steps > 0 else -1
        coils = HALF_STEPS[place % 8]
        for i in range(4):
            pins[i].value(coils >> i & 1)
        sleep_ms(2)


turn(1)
turn(1024)
print("forth")
sleep_ms(1000)
turn(-512)
print("back")
