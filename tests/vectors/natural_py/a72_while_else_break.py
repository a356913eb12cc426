import time
from machine import Pin

led = Pin(13, Pin.OUT)
n = 0
while n < 4:
    n += 1
    led.value(n % 2)
    time.sleep_ms(50)
    if n == 9:
        break
else:
    print("no break")
for k in range(10):
    if k == 3:
        continue
    if k > 5:
        break
    time.sleep_ms(10)
print(k)
