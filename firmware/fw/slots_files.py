"""The unused folder of two, which an update goes to (docs/protocols/ota.md). Loaded when needed.

The selector main.py starts no folder without the file `whole` while the other folder has it: it is removed first and
written last.
"""

import os
import sys

import storage
from micropython import const

SLOTS = ("fw_a", "fw_b")
WHOLE = "/whole"
_SPARE_BYTES = const(32_768)


def running():
    """Return the slot that main.py started."""
    return int(any([path.endswith("/" + SLOTS[1]) for path in sys.path]))


def unused():
    return 1 - running()


def room(root):
    """Return the size of the largest payload that fits with its files, which take whole blocks.

    The content of the unused folder counts as free.
    """
    facts = os.statvfs(root or "/")
    # littlefs counts blocks twice when it is nearly full.
    free = facts[0] * facts[3] if facts[3] <= facts[2] else 0
    folder = root + SLOTS[unused()]
    used = sum([size for _, size in _files(folder)])
    return max(0, min(free - _SPARE_BYTES, (free + used - _SPARE_BYTES) * 2 // 5))


def gave_up(up, slot):
    """Mark a slot that failed, so that it is never chosen again, also if the other slot fails later."""
    storage.remove_file(up.root + SLOTS[slot] + WHOLE)
    if up.board.number("slot") == slot:
        up.board.number("slot", 1 - slot)


def empty(folder):
    """Take the files of a folder away, the one that says that it is whole first."""
    storage.remove_file(folder + WHOLE)
    for path, _ in _files(folder):
        storage.remove_file(path)
    for name in storage.names_in(folder):
        storage.remove_folder(folder + "/" + name)


def _files(folder):
    """Return (path, size) of each file in the folder and in its folders."""
    files = []
    for name in storage.names_in(folder):
        path = folder + "/" + name
        facts = os.stat(path)
        if facts[0] & 0x4000:
            files.extend(_files(path))
        else:
            files.append((path, facts[6]))
    return files
