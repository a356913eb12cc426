from machine import Pin
import time

led = Pin(13, Pin.OUT)


def short():
    led.on()
    time.sleep_ms(50)
    led.off()


def long():
    led.on()
    time.sleep_ms(400)
    led.off()


def pause():
    print("pause")


COMMANDS = {"s": short, "l": long, "p": pause}

for letter in "slps":
    COMMANDS[letter]()
    time.sleep_ms(100)
