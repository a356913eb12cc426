from machine import Pin
import time

led = Pin(13, Pin.OUT)
try:
    for i in range(3):
        led.on()
        time.sleep_ms(100)
        led.off()
        time.sleep_ms(100)
    raise ValueError("enough")
except ValueError as e:
    print("error:", e)
else:
    print("never")
finally:
    led.on()
    print("cleanup")
