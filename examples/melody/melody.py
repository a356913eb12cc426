# Melody: the buzzer plays five notes, each for NOTE_MS, once.
from machine import PWM, Pin
from time import sleep_ms

PIN = 6
NOTE_MS = 400
NOTES_HZ = (262, 330, 392, 523, 392)

buzzer = PWM(Pin(PIN), freq=NOTES_HZ[0], duty_u16=32768)
for hz in NOTES_HZ:
    buzzer.freq(hz)
    sleep_ms(NOTE_MS)
buzzer.duty_u16(0)
