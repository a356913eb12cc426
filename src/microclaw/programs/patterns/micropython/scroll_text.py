# Scroll a text: TEXT moves across the display, a step each
# EVERY_MS, and begins again.
from microclaw import every, screen

DISPLAY = screen.ssd1306(sda=8, scl=9)
TEXT = "All good things come to those who wait"
EVERY_MS = 250


def step():
    DISPLAY.scroll(TEXT)


print("scrolls:", TEXT)
step()
every(EVERY_MS, step)
