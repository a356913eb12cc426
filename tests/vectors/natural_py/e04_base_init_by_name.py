import time


class Base:
    def __init__(self, ms):
        time.sleep_ms(ms)
        self.ms = ms


class Left(Base):
    def __init__(self, ms):
        Base.__init__(self, ms * 2)
        self.side = "left"


class Plain(Base):
    pass


print(Left(10).ms, Left(5).side, Plain(3).ms)
