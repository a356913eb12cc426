import time


class A:
    def __init__(self):
        self.run = 3

    def go(self):
        time.sleep_ms(3)
        return self.run


class B:
    def run(self):
        time.sleep_ms(4)
        return 8


print(A().go(), B().run())
