from machine import Pin
import time

count = 0


def on_press(pin):
    global count
    count += 1


button = Pin(14, Pin.IN, Pin.PULL_UP)
button.irq(trigger=Pin.IRQ_FALLING, handler=on_press)
last = 0
while True:
    if count != last:
        last = count
        print("presses:", last)
    time.sleep_ms(100)
