import time


def slow(self, n=1):
    time.sleep_ms(10 * n)
    return n


class Thing:
    run = slow
    table = {"a": 1}


print(Thing().run(3), time.ticks_ms() >= 30)
