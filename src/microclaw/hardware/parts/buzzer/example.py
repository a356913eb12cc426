# A passive buzzer on pin 5 plays three notes, and is quiet afterwards.
from machine import PWM, Pin
from time import sleep_ms

NOTES = ((440, 400), (523, 400), (659, 800))

buzzer = PWM(Pin(5))
for hz, ms in NOTES:
    buzzer.freq(hz)
    buzzer.duty_u16(32768)
    print("note %d" % hz)
    sleep_ms(ms)
buzzer.duty_u16(0)
