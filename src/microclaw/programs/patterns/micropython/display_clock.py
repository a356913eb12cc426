# Clock: the time of day on a display. The host sets the board's
# clock, in UTC; here it is OFFSET_MIN later.
from microclaw import screen
from time import localtime, sleep_ms, time

DISPLAY = screen.ssd1306(sda=8, scl=9)
OFFSET_MIN = 0

shown = ""
while True:
    now = localtime(time() + OFFSET_MIN * 60)
    text = "%02d:%02d" % (now[3], now[4])
    if text != shown:
        shown = text
        DISPLAY.text(text)
        print("time", text)
    sleep_ms(200)
