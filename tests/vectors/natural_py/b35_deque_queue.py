from collections import deque
import time
from machine import Pin

led = Pin(13, Pin.OUT)
queue = deque((), 10)
for i in range(4):
    queue.append(i * 30)
while queue:
    ms = queue.popleft()
    led.value(not led.value())
    time.sleep_ms(ms)
print("empty")
