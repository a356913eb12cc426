import time


def twice(f, xs):
    print("twice")
    return list(map(f, xs))


def slow(x):
    time.sleep_ms(20)
    return x


callbacks = {"s": slow}
print(twice(callbacks["s"], [1, 2]))
