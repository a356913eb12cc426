from machine import Pin
led = Pin(13, Pin.OUT)
while True
    led.on()
