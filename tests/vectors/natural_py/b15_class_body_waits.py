import time


def read():
    time.sleep_ms(5)
    return 4


class Config:
    name = "x"
    value = read()


print(Config.value)
