from machine import Pin

led = Pin(13, Pin.OUT)
led.on()
sleep(1)
led.off()
