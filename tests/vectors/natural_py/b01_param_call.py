import time


def apply(f, *args):
    return f(*args)


def slow(x):
    time.sleep_ms(20)
    return x * 2


def fast(x):
    return x + 1


print(apply(slow, 4), apply(fast, 4))
print([apply(f, 3) for f in (slow, fast)])
