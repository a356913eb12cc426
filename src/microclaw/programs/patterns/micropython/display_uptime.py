# Time since the start on a display: minutes and seconds, from an
# hour on hours and minutes.
from microclaw import every, screen

DISPLAY = screen.ssd1306(sda=8, scl=9)
seconds = 0


def look():
    global seconds
    minutes = seconds // 60
    if minutes < 60:
        text = "%02d:%02d" % (minutes, seconds % 60)
    else:
        text = "%02d:%02d" % (minutes // 60 % 100, minutes % 60)
    DISPLAY.text(text)
    if seconds % 60 == 0:
        print("time", text)
    seconds += 1


look()
every(1000, look)
