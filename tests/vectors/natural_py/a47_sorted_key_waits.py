import time


def weight(x):
    time.sleep_ms(10)
    return -x


items = [3, 1, 2]
print(sorted(items, key=weight))
