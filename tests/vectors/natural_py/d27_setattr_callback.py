import time


class Thing:
    pass


def slow():
    time.sleep_ms(30)
    return "slow"


t = Thing()
setattr(t, "cb", slow)
t.other = lambda: slow()
print(t.cb(), t.other(), time.ticks_ms() >= 60)
