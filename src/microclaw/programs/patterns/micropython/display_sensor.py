# Sensor on a display: what it measures, each EVERY_MS.
from microclaw import every, screen, sensor

DISPLAY = screen.ssd1306(sda=8, scl=9)
ADDRESS = 0x76
QUANTITY = "temperature"
UNIT = "C"
TWO = 0
SECOND = "humidity"
SECOND_UNIT = "%"
EVERY_MS = 2000


def look():
    value = sensor(QUANTITY, ADDRESS)
    second = sensor(SECOND, ADDRESS) if TWO else 0
    if value is None or second is None:
        DISPLAY.text("no sensor")
        print("the sensor for", QUANTITY, "does not answer")
        return
    if TWO:
        DISPLAY.text("%.1f %s" % (value, UNIT), "%.1f %s" % (second, SECOND_UNIT))
    else:
        DISPLAY.number(value, UNIT, QUANTITY)
    print("%s %.1f" % (QUANTITY, value))


look()
every(EVERY_MS, look)
