# Show a text: the display shows TEXT, as large as it fits.
from microclaw import screen

DISPLAY = screen.ssd1306(sda=8, scl=9)
TEXT = "Hello"

DISPLAY.text(TEXT)
print("shown:", TEXT)
