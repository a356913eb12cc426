import time


def numbers():
    for n in range(3):
        yield n


class A:
    def get(self):
        time.sleep_ms(5)
        return [1]


class B:
    def __init__(self):
        self.it = numbers()

    def get(self):
        return self.it


def both(x):
    return list(x.get())


print(both(A()), both(B()))
