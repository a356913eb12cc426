from machine import ADC, Pin
import time


class MovingAverage:
    def __init__(self, size):
        self.size = size
        self.data = []

    def __len__(self):
        return len(self.data)

    def __call__(self, x):
        self.data.append(x)
        if len(self.data) > self.size:
            del self.data[0]
        return sum(self.data) / len(self.data)


adc = ADC(Pin(34, Pin.IN))
avg = MovingAverage(4)
for _ in range(8):
    v = avg(adc.read_u16())
    print("%.1f" % v, len(avg))
    time.sleep_ms(200)
