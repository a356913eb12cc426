import time


class Slow:
    def __iter__(self):
        return self

    def __next__(self):
        if time.ticks_ms() > 300:
            raise StopIteration
        time.sleep_ms(50)
        return 1


print(sum(Slow()))
