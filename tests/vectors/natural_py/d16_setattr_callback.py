import time


class Thing:
    pass


def slow():
    time.sleep_ms(30)
    return "slow"


t = Thing()
setattr(t, "cb", slow)
print(t.cb(), time.ticks_ms() >= 30)
t.other = lambda: slow() if False else "x"
