from machine import Pin, Timer

led = Pin(13, Pin.OUT)
t = Timer(0)
t.init(period=200, callback=lambda t: led.value(not led.value()))


# keep the program alive
print("start")
while True:
    pass
