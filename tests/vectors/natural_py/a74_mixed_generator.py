import time


class Waiter:
    def items(self):
        time.sleep_ms(10)
        return [1]


class Lister:
    def items(self):
        yield 1
        yield 2


def show(x):
    total = 0
    if x:
        for i in x.items():
            total += i
    print(total)


show(Waiter())
show(Lister())
