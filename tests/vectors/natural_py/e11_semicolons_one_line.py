import time; from machine import Pin; led = Pin(13, Pin.OUT)
for _ in range(3): led.on(); time.sleep_ms(30); led.off(); time.sleep_ms(30)
if led.value() == 0: print("off")
else: print("on")
