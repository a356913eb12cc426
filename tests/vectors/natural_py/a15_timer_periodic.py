from machine import Pin, Timer

led = Pin(13, Pin.OUT)
tim = Timer(0)


def tick(t):
    led.value(not led.value())


tim.init(period=250, mode=Timer.PERIODIC, callback=tick)
