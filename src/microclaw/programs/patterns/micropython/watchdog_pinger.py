# Watchdog pinger: a pulse of PULSE_MS each EVERY_MS feeds a
# watchdog chip, which resets the board when they stop.
from machine import Pin
from time import sleep_ms

PIN = 4
EVERY_MS = 1000
PULSE_MS = 20

output = Pin(PIN, Pin.OUT, value=0)
while True:
    output.on()
    sleep_ms(PULSE_MS)
    output.off()
    sleep_ms(EVERY_MS - PULSE_MS)
