import time


def make(ms):
    def wait():
        time.sleep_ms(ms)
        return ms

    return wait


print(make(20)())
waits = [make(n) for n in (5, 6)]
print(waits[0]() + waits[1]())
print((lambda f: f())(make(7)))
