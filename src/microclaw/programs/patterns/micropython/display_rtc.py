# Clock: the time of a DS3231 or DS1307 on a display.
from machine import I2C, Pin
from microclaw import every, screen

DISPLAY = screen.ssd1306(sda=8, scl=9)
CLOCK = "ds3231"
CLOCK_SDA = 8
CLOCK_SCL = 9
ADDRESS = 0x68

i2c = I2C(0, scl=Pin(CLOCK_SCL), sda=Pin(CLOCK_SDA))
shown = ""


def number(bcd):
    return (bcd >> 4) * 10 + (bcd & 15)


def look():
    global shown
    try:
        time = i2c.readfrom_mem(ADDRESS, 0, 3)
    except OSError:
        DISPLAY.text("no clock")
        print("the", CLOCK, "does not answer")
        return
    text = "%02d:%02d" % (number(time[2] & 0x3F), number(time[1]))
    if text != shown:
        shown = text
        DISPLAY.text(text)
        print("time", text)


look()
every(500, look)
