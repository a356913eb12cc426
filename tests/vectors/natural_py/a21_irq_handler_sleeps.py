from machine import Pin
import time

led = Pin(12, Pin.OUT)
button = Pin(14, Pin.IN, Pin.PULL_UP)


def pressed(pin):
    time.sleep_ms(30)
    if pin.value() == 0:
        led.on()
        time.sleep_ms(200)
        led.off()


button.irq(trigger=Pin.IRQ_FALLING, handler=pressed)
