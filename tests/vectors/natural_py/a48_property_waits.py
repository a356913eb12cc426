import time


class Sensor:
    @property
    def value(self):
        n = 4
        time.sleep_ms(10)
        return n


print(Sensor().value)
