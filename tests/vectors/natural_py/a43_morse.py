from machine import Pin
import time

CODE = {"S": "...", "O": "---"}
led = Pin(13, Pin.OUT)
UNIT = 60


def dot():
    led.on(); time.sleep_ms(UNIT); led.off(); time.sleep_ms(UNIT)


def dash():
    led.on(); time.sleep_ms(3 * UNIT); led.off(); time.sleep_ms(UNIT)


def send(text):
    for ch in text:
        if ch == " ":
            time.sleep_ms(4 * UNIT)
            continue
        for symbol in CODE[ch]:
            dot() if symbol == "." else dash()
        time.sleep_ms(2 * UNIT)


while True:
    send("SOS ")
