import time


def wait(clock):
    clock.sleep_ms(10)
    print("waited")


wait(time)
