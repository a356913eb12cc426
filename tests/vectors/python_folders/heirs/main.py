from drv import Display


class Mine(Display):
    def name(self):
        return 'mine of ' + super().name()


d = Mine(3)
print(d.name(), d.bits(), type(d).__name__, isinstance(d, Display))
