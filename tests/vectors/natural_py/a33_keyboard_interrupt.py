from machine import Pin
import time

led = Pin(12, Pin.OUT)
try:
    while True:
        led.value(not led.value())
        time.sleep(0.25)
except KeyboardInterrupt:
    led.off()
    print("stopped")
