import machine, neopixel, time

n = 5
p = neopixel.NeoPixel(machine.Pin(12, machine.Pin.OUT), n)


def clear():
    for i in range(n):
        p[i] = (0, 0, 0)
    p.write()


def chase(color, wait):
    for i in range(n):
        clear()
        p[i] = color
        p.write()
        time.sleep_ms(wait)


while True:
    chase((255, 0, 0), 60)
    chase((0, 0, 255), 90)
