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


HEAP_DATA = 4


def idf_heap_info(capabilities):
    """(total, free, largest free block, least free ever) of each region."""
    return [(200000, 40000, 32000, 30000), (16000, 6000, 5000, 4000)]
