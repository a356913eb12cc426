# A relay module that is on while its pin is low. The button on pin 4 lets the pump run for 3 seconds.
from machine import Pin
from time import sleep_ms

relay = Pin(5, Pin.OUT, value=1)
button = Pin(4, Pin.IN, Pin.PULL_UP)

while True:
    if button.value() == 0:
        print("pump on")
        relay.off()
        sleep_ms(3000)
        relay.on()
        print("pump off")
    sleep_ms(20)
