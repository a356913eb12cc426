"""NVS and Partition of `esp32`. FOLDER is the process' first word.

NVS: numbers in FOLDER/nvs.json; without a FOLDER in memory. Partition: two application slots, FOLDER/ota_0 and
FOLDER/ota_1, where FOLDER/otadata.json says which one starts and how each is; without that file one slot alone. As
ESP-IDF's bootloader with "App rollback" (esp_ota_ops.h), each process is a start: a slot that is chosen is `pending` in
its first one and given up in the next, unless it was marked as valid. A sector is erased to 0xff; writes clear bits.
"""

import json
import sys

_memory = {}


class NVS:
    def __init__(self, space):
        self._path = sys.argv[1] + "/nvs.json" if len(sys.argv) > 1 else None

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


class Partition:
    BOOT, RUNNING, TYPE_APP, TYPE_DATA = 0, 1, 0, 1
    SECTOR = 4096

    def __init__(self, which):
        if which in (self.BOOT, self.RUNNING):
            which = _otadata()["boot"] if which == self.BOOT else _running
        self._label = which

    @classmethod
    def find(cls, type=TYPE_APP, subtype=0xFF, label=None, block_size=4096):
        names = ("ota_0", "ota_1") if _otadata()["two"] else ("factory",)
        return [cls(name) for name in names if label in (None, name)]

    @classmethod
    def mark_app_valid_cancel_rollback(cls):
        data = _otadata()
        data[_running] = "valid"
        _keep(data)

    def info(self):
        return (0, 16, 0x10000, _otadata()["size"], self._label, False)

    def get_next_update(self):
        if not _otadata()["two"]:
            raise OSError(2)
        return Partition("ota_1" if self._label == "ota_0" else "ota_0")

    def set_boot(self):
        data = _otadata()
        data.update({"boot": self._label, self._label: "new"})
        _keep(data)

    def readblocks(self, block, into, offset=0):
        with open(self._path(), "rb") as file:
            file.seek(block * self.SECTOR + offset)
            assert file.readinto(into) == len(into)

    def writeblocks(self, block, data, offset=None):
        if block * self.SECTOR + (offset or 0) + len(data) > self.info()[3]:
            raise OSError(22)
        with open(self._path(), "r+b") as file:
            file.seek(block * self.SECTOR + (offset or 0))
            before = file.read(len(data)) if offset is not None else b"\xff" * len(data)
            if offset is None:  # whole sectors, which are erased for it
                assert len(data) % self.SECTOR == 0
            file.seek(block * self.SECTOR + (offset or 0))
            file.write(bytes([before[n] & data[n] for n in range(len(data))]))

    def _path(self):
        return sys.argv[1] + "/" + self._label


def _otadata():
    try:
        with open(sys.argv[1] + "/otadata.json") as file:
            return json.load(file)
    except (OSError, IndexError):
        return {"boot": "factory", "factory": "valid", "two": False, "size": 1 << 20}


def _keep(data):
    with open(sys.argv[1] + "/otadata.json", "w") as file:
        json.dump(data, file)


def _start():
    """What the bootloader starts."""
    data = _otadata()
    boot = data["boot"]
    if data[boot] == "pending":
        data[boot], boot = "aborted", "ota_1" if boot == "ota_0" else "ota_0"
        data["boot"] = boot
    elif data[boot] == "new":
        data[boot] = "pending"
    if data["two"]:
        _keep(data)
    return boot


_running = _start()
