# Pulse: the pin is on for FOR_MS, once. ON is the level that
# lights: 0 where the LED is lit by low.
from machine import Pin
from time import sleep_ms

PIN = 2
FOR_MS = 200
ON = 1

output = Pin(PIN, Pin.OUT, value=ON)
sleep_ms(FOR_MS)
output.value(1 - ON)
