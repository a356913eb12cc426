from machine import Pin

led = Pin(13, Pin.OUT)
led.value(int(input("level? ")))
