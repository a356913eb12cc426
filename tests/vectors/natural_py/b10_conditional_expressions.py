import time


def yes():
    time.sleep_ms(10)
    return True


def no():
    time.sleep_ms(10)
    return False


print(yes() and no() or yes())
print("a" if no() else "b", not yes(), yes() is True, 1 < (2 if yes() else 0) < 3)
x = [yes(), no()] + [no()]
x[1 if yes() else 0] = 5
print(x, {yes(): no()}, (no(), yes()))
assert yes(), "bad"
del x
n = 0
n += 1 if yes() else 2
print(n)
while no() or n < 3:
    n += 1
print(n)
