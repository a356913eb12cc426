import time


class Sensor:
    @property
    def value(self):
        return self.read()

    def read(self):
        self.start()
        time.sleep_ms(30)
        return 4

    def start(self):
        time.sleep_ms(30)


print(Sensor().value)
