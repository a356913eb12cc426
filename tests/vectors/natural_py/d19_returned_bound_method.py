import time


class Pump:
    def start(self, ms):
        time.sleep_ms(ms)
        return ms

    def get(self):
        return self.start


p = Pump()
start = p.get()
print(start(10), p.get()(20))
print([m(5) for m in (p.start, Pump().start)])
