import time


class Base:
    def hello(self):
        return "hello"


class Slow(Base):
    def __init__(self):
        time.sleep_ms(20)
        self.x = 1


class Quick(Base):
    def __init__(self):
        self.x = 2


print(Base().hello(), Slow().x, Quick().x, Quick().hello())
