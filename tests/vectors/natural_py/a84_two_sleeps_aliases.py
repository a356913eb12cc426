import time as t
from time import sleep_ms as ms, sleep as s
from machine import Pin as P

led = P(13, P.OUT)
delay = t.sleep_ms
wait = ms
led.on()
delay(100)
led.off()
wait(150)
led.on()
s(0.2)
led.off()
(delay if led.value() else wait)(50)
print(t.ticks_ms() >= 500)
