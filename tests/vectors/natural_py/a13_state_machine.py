from machine import Pin
import time

RED, GREEN, YELLOW = Pin(12, Pin.OUT), Pin(13, Pin.OUT), Pin(14, Pin.OUT)


def state_red():
    RED.on()
    time.sleep(1)
    RED.off()
    return state_green


def state_green():
    GREEN.on()
    time.sleep(0.7)
    GREEN.off()
    return state_yellow


def state_yellow():
    YELLOW.on()
    time.sleep(0.3)
    YELLOW.off()
    return state_red


state = state_red
while True:
    state = state()
