import time

count = 0


def outer():
    def inner():
        global count
        count += 1
        time.sleep_ms(5)

    for _ in range(3):
        inner()
    return count


print(outer(), count)


def use_before():
    return later() + 1


def later():
    time.sleep_ms(5)
    return 4


print(use_before())
