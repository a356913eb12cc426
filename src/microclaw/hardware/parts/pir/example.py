# A motion light: the LED on pin 5 is on while the sensor on pin 4 sees somebody.
from machine import Pin

pir = Pin(4, Pin.IN)
led = Pin(5, Pin.OUT)


def on_motion(pin):
    led.value(pin.value())
    print("motion" if pin.value() else "nobody")


pir.irq(handler=on_motion, trigger=Pin.IRQ_RISING | Pin.IRQ_FALLING)
