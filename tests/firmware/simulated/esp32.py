"""NVS of `esp32`: numbers in FOLDER/nvs.json, FOLDER being the process' first word; without one in memory."""

import json
import sys

_memory = {}
_handles = 0


class NVS:
    """As the chip's: a handle is never closed, so whoever opens many runs out of memory."""

    def __init__(self, space):
        global _handles
        _handles += 1
        if _handles > 4:
            raise OSError(12)  # ENOMEM
        if len(sys.argv) > 1:
            self._path = sys.argv[1] + "/nvs.json"
        else:
            self._path = None

    def get_i32(self, name):
        kept = self._kept()
        if name not in kept:
            raise OSError(-4354)  # ESP_ERR_NVS_NOT_FOUND
        return kept[name]

    def set_i32(self, name, value):
        kept = self._kept()
        kept[name] = value
        if self._path:
            with open(self._path, "w") as file:
                json.dump(kept, file)

    def commit(self):
        pass

    def _kept(self):
        if self._path is None:
            return _memory
        try:
            with open(self._path) as file:
                return json.load(file)
        except (OSError, ValueError):  # there is none, or it was cut
            return {}
