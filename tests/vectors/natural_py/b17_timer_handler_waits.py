import time
from machine import Pin, Timer

led = Pin(13, Pin.OUT)


class App:
    def __init__(self):
        self.timer = Timer(0)
        self.timer.init(period=500, mode=Timer.PERIODIC, callback=self.on_timer)

    def on_timer(self, t):
        led.on()
        time.sleep_ms(100)
        led.off()


app = App()
while True:
    time.sleep_ms(1000)
