from machine import Pin

button = Pin(14, Pin.IN, Pin.PULL_UP)
led = Pin(13, Pin.OUT)
pressed = 0
while True:
    if button.value() == 0:
        led.on()
        if not pressed:
            print("pressed")
        pressed = 1
    else:
        led.off()
        pressed = 0
