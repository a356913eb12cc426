import time


class Dev:
    def __init__(self, *pins, name="d", **opts):
        time.sleep_ms(10)
        self.pins, self.name, self.opts = pins, name, opts

    def __repr__(self):
        return "Dev(%s, %s, %d)" % (self.pins, self.name, len(self.opts))


args = (1, 2)
print(Dev(*args, name="x", a=1), Dev(), str(Dev(3)))
devs = {n: Dev(n) for n in "ab"}
print(sorted(devs), [d.pins for d in (Dev(9), Dev(8))])
