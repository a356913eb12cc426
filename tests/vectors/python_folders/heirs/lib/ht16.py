import time


class HT16:
    def __init__(self, n):
        time.sleep(0.01)
        self.n = n

    def bits(self):
        return self.n * 2
