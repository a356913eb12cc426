import time
from machine import Pin


class Lcd:
    def __init__(self, rs):
        self.rs = Pin(rs, Pin.OUT)
        self.reset()

    def reset(self):
        for _ in range(3):
            self.rs.on()
            time.sleep_ms(5)
            self.rs.off()


class App:
    def __init__(self):
        self.lcds = [Lcd(n) for n in (12, 13)]


app = App()
print(len(app.lcds), isinstance(app, App))
try:
    raise ValueError(Lcd(14).rs.value())
except ValueError as e:
    print("value", e)
