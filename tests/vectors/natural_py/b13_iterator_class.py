import time


class Range3:
    def __init__(self):
        self.i = 0

    def __iter__(self):
        return self

    def __next__(self):
        if self.i >= 3:
            raise StopIteration
        self.i += 1
        return self.i


total = 0
for v in Range3():
    time.sleep_ms(5)
    total += v
print(total, list(Range3()))
