# Distance alarm: while something is nearer than LIMIT_CM to the
# HC-SR04, the buzzer beeps: BEEP_MS of tone, BEEP_MS of silence.
from hcsr04 import HCSR04
from machine import PWM, Pin
from time import sleep_ms

TRIG_PIN = 5
ECHO_PIN = 18
BUZZER_PIN = 6
LIMIT_CM = 20
FREQUENCY_HZ = 2000
BEEP_MS = 200

sonar = HCSR04(TRIG_PIN, ECHO_PIN)
buzzer = PWM(Pin(BUZZER_PIN), freq=FREQUENCY_HZ, duty_u16=0)
was_near = False
sounds = False
while True:
    try:
        is_near = sonar.distance_cm() < LIMIT_CM
    except OSError:  # nothing sends the sound back
        is_near = False
    if is_near and not was_near:
        print("nearer than", LIMIT_CM, "cm")
    was_near = is_near
    sounds = is_near and not sounds
    if sounds:
        buzzer.duty_u16(32768)
    else:
        buzzer.duty_u16(0)
    sleep_ms(BEEP_MS)
