import time


class Cell:
    def __init__(self, v):
        self.v = v

    def read(self):
        time.sleep_ms(3)
        return self.v

    def __add__(self, other):
        return Cell(self.v + other.v)

    def __eq__(self, other):
        return self.v == other.v

    def __str__(self):
        return "Cell(%d)" % self.v


cells = [Cell(n) for n in range(4)]
print(sum(c.read() for c in cells if c.read() != 2), cells[0] + cells[1], cells[1] == Cell(1))
print(", ".join(str(c.read()) for c in cells), ",".join([str(c) for c in cells]))
best = max(cells, key=lambda c: c.v)
print(best)
pairs = sorted([(c.read(), n) for n, c in enumerate(cells)], key=lambda p: -p[0])
print(pairs)
