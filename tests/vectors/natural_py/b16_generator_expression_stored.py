import time


def read(i):
    time.sleep_ms(5)
    return i


values = (read(i) for i in range(3))
for v in values:
    print(v)
