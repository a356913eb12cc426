"""`esp32` on the simulated board: NVS and heap facts. No partitions, RMT, PCNT, ULP."""

from _board import call as _call

HEAP_DATA = 4
HEAP_EXEC = 1


class NVS:
    """Names have at most 15 characters. What was set is there after a power cut, also without commit."""

    def __init__(self, namespace):
        self._space = namespace

    def set_i32(self, key, value):
        _call("nvs_set", self._space, key, value)

    def get_i32(self, key):
        return _call("nvs_get", self._space, key, "i32")

    def set_blob(self, key, value):
        _call("nvs_set", self._space, key, (value.encode() if isinstance(value, str) else bytes(value)).hex())

    def get_blob(self, key, buffer):
        """Fills the buffer and answers the length."""
        data = bytes.fromhex(_call("nvs_get", self._space, key, "blob"))
        if len(data) > len(buffer):
            raise OSError(-4364, "ESP_ERR_NVS_INVALID_LENGTH")
        buffer[: len(data)] = data
        return len(data)

    def erase_key(self, key):
        _call("nvs_erase", self._space, key)

    def commit(self):
        pass


def idf_heap_info(capabilities):
    """(total, free, largest block, least ever free) of each region."""
    return [tuple(region) for region in _call("idf_heap")]


def mcu_temperature():
    return 42


def raw_temperature():
    return 108
