from machine import Pin
import time

ready = Pin(14, Pin.IN)


class Sensor:
    @property
    def value(self):
        while not ready.value():
            time.sleep_ms(1)
        return 4


print(Sensor().value)
