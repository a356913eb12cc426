import sys
import time
from machine import Pin

led = Pin(13, Pin.OUT)
led.on()
time.sleep_ms(300)
led.off()
sys.exit()
