from machine import Pin

flag = False
led = Pin(13, Pin.OUT)


def handler(p):
    global flag
    flag = True


Pin(14, Pin.IN, Pin.PULL_UP).irq(handler, Pin.IRQ_FALLING)


def wait_for_flag():
    global flag
    while not flag:
        pass
    flag = False


while True:
    wait_for_flag()
    led.value(not led.value())
