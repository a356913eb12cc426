"""NVS that a reset empties: the boot selector counts from 0 each time."""


class NVS:
    def __init__(self, namespace):
        self._numbers = {}

    def get_i32(self, name):
        if name not in self._numbers:
            raise OSError(-4354)
        return self._numbers[name]

    def set_i32(self, name, value):
        self._numbers[name] = value

    def commit(self):
        pass
