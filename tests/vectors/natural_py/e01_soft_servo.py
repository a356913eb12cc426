from machine import Pin
import time

servo = Pin(13, Pin.OUT)


def pulse(us):
    servo.on()
    time.sleep_us(us)
    servo.off()
    time.sleep_us(20000 - us)


for angle in (0, 90, 180):
    for _ in range(3):
        pulse(500 + angle * 2000 // 180)
for us in (1500, 700):
    servo.on()
    time.sleep(us / 1000000)
    servo.off()
    time.sleep(0.02)
