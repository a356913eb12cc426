# Clear a display: it shows nothing.
from microclaw import screen

DISPLAY = screen.ssd1306(sda=8, scl=9)

DISPLAY.clear()
print("cleared")
