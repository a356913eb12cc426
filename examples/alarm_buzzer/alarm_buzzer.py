# Alarm buzzer: while the contact is closed to ground, the buzzer
# beeps: BEEP_MS of tone, BEEP_MS of silence.
from machine import PWM, Pin
from time import sleep_ms

CONTACT_PIN = 4
BUZZER_PIN = 5
FREQUENCY_HZ = 2000
BEEP_MS = 300
LOOK_MS = 20

contact = Pin(CONTACT_PIN, Pin.IN, Pin.PULL_UP)
buzzer = PWM(Pin(BUZZER_PIN), freq=FREQUENCY_HZ, duty_u16=0)
is_on = False
in_ms = -1
while True:
    if contact.value():  # open
        in_ms = -1
    elif in_ms < 0:
        in_ms = 0
    else:
        in_ms = (in_ms + LOOK_MS) % (2 * BEEP_MS)
    sounds = 0 <= in_ms < BEEP_MS
    if sounds != is_on:
        buzzer.duty_u16(32768 if sounds else 0)
        is_on = sounds
    sleep_ms(LOOK_MS)
