"""Updates of kind `files`: the unused one of two folders (docs/protocols/ota.md). Read in when needed.

The selector main.py starts no folder without the file `whole` while another one has it: it is taken away first and
written last.
"""

import os
import sys

import storage
from micropython import const

SLOTS = ("fw_a", "fw_b")
WHOLE = "/whole"
_SPARE_BYTES = const(32_768)


def running(_):
    """The slot that main.py started."""
    return int(any([path.endswith("/" + SLOTS[1]) for path in sys.path]))


def unused(up):
    return 1 - running(up)


def mark(slot):
    return slot + 1


def room(up):
    """The largest payload that fits with its files, which take whole blocks; what the unused folder has counts too."""
    told = os.statvfs(up.root or "/")
    free = told[0] * told[3] if told[3] <= told[2] else 0  # littlefs counts blocks twice when it is nearly full
    folder = up.root + SLOTS[unused(up)]
    there = sum([size for _, size in _files(folder)])
    return max(0, min(free - _SPARE_BYTES, (free + there - _SPARE_BYTES) * 2 // 5))


def choose(up, slot):
    up.board.number("slot", slot)


def keep():
    pass  # main.py goes by the numbers that the caller sets


def gave_up(up, slot):
    """It went back: that folder is never chosen again, also when the other one fails later."""
    storage.remove_file(up.root + SLOTS[slot] + WHOLE)
    if up.board.number("slot") == slot:
        up.board.number("slot", 1 - slot)


def forget(up):
    storage.remove_file(up.payload)


def sink(up):
    """Without this file behind it: what a download keeps is kept small."""
    import ota_sink

    sys.modules.pop("ota_sink")
    return ota_sink.Payload(up.payload, up.record["size"])


def empty(folder):
    """Take the files of a folder away, the one that says that it is whole first."""
    storage.remove_file(folder + WHOLE)
    for path, _ in _files(folder):
        storage.remove_file(path)
    for name in storage.names_in(folder):
        storage.remove_folder(folder + "/" + name)


def _files(folder):
    """(path, size) of what is in it and in its folders."""
    found = []
    for name in storage.names_in(folder):
        path = folder + "/" + name
        facts = os.stat(path)
        if facts[0] & 0x4000:
            found.extend(_files(path))
        else:
            found.append((path, facts[6]))
    return found
