from machine import Pin, PWM
import time

NOTES = {"C": 262, "D": 294, "E": 330}
buzzer = PWM(Pin(27), freq=440, duty_u16=0)


def tone(note, ms):
    buzzer.freq(NOTES[note])
    buzzer.duty_u16(32768)
    time.sleep_ms(ms)
    buzzer.duty_u16(0)
    time.sleep_ms(20)


melody = [("C", 200), ("D", 200), ("E", 400)]
for note, ms in melody:
    tone(note, ms)
buzzer.deinit()
