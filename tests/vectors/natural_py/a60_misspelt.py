from machine import Pin
import time

led = Pin(13, Pin.OUTPUT)
led.on()
