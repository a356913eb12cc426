from machine import Pin


class Chip:
    def irq(self, n):
        return n * 2


c = Chip()
print(c.irq(4))
