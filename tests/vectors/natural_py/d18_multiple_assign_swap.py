import time


def fast():
    return "fast"


def slow():
    time.sleep_ms(20)
    return "slow"


first, second = slow, fast
first, second = second, first
print(first(), second())
f = first or second
print(f())
g = [slow][0]
print(g())
