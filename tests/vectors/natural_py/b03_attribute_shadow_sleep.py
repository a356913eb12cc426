import time


class Clock:
    def sleep(self, n):
        print("not a wait", n)


class Robot:
    def __init__(self):
        self.time = Clock()

    def sleep(self, n):
        self.time.sleep(n)
        time.sleep_ms(n)


Robot().sleep(30)
r = Robot()
r.sleep(5)
print(time.ticks_ms() >= 35)
