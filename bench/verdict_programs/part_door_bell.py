from machine import PWM, Pin
import time

door = Pin(4, Pin.IN, Pin.PULL_UP)
buzzer = PWM(Pin(5), freq=880, duty_u16=0)


def beep(times):
    for _ in range(times):
        buzzer.freq(880)
        buzzer.duty_u16(32768)
        time.sleep_ms(150)
        buzzer.duty_u16(0)
        time.sleep_ms(150)


closed = door.value() == 0
while True:
    now_closed = door.value() == 0
    if closed and not now_closed:
        print("door opened")
        beep(2)
    closed = now_closed
    time.sleep_ms(20)
