import machine
from machine import Pin
import time

led = Pin(13, Pin.OUT)
start = time.ticks_ms()
while time.ticks_diff(time.ticks_ms(), start) < 300:
    machine.idle()
led.on()
