import time
from machine import Pin


class Menu:
    def __init__(self):
        self.led = Pin(13, Pin.OUT)

    def cmd_on(self):
        self.led.on()
        time.sleep_ms(20)

    def cmd_off(self):
        self.led.off()
        time.sleep_ms(20)

    def cmd_say(self):
        print("say")


m = Menu()
for name in ("on", "say", "off"):
    getattr(m, "cmd_" + name)()
print(time.ticks_ms() >= 40)
