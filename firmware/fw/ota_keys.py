"""What this board takes of updates (docs/protocols/ota.md): keys, channel, chip. Read in for a greeting or an offer.

/keys.json, sealed like the records of programs: `keys` {id: modulus in base64}, `channel`, and of the last manifest of
kind `keys` its `serial` and `hash`. `microclaw flash` writes it; a board without it takes no updates.
"""

import gc
import sys

import storage
from micropython import const

FILE = "keys.json"
SECURITY = "sec"  # in NVS: the highest security_version that was healthy here
_PSRAM_BYTES = const(1 << 20)


def load(settings):
    """None where nobody gave the board a key."""
    found = storage.read_sealed(settings.path(FILE))
    return found if found and found.get("keys") else None


def keep(settings, told):
    storage.write_sealed(settings.path(FILE), told)


def hello(board, settings):
    """`hello.ota`, or None for a board that takes no updates."""
    told, name = load(settings), board_name(board)
    kinds = kinds_of(board) if told and name else []
    if not kinds:
        return None
    found = {
        "board": name,
        "channel": told["channel"],
        "kinds": kinds,
        "keys": sorted(told["keys"]),
        "security_version": board.number(SECURITY),
    }
    if settings.get("revision"):
        found["revision"] = settings.get("revision")
    return found


def kinds_of(board):
    """What main.py and the bootloader can go back from: it needs NVS, an image a second slot."""
    import slots_image

    sys.modules.pop("slots_image")
    kinds = ["files"] if board.keeps_numbers() else []
    return kinds + ["image"] if kinds and slots_image.room(None) else kinds


def board_name(board):
    """The chip, with -small on a board without PSRAM; "" for a chip that updates are not made for."""
    words = board.chip.lower().replace("-", "").split()
    chip = words[-1] if words and words[-1].startswith("esp32") else ""
    return chip + "-small" if chip and is_small() else chip


def is_small():
    return gc.mem_free() + gc.mem_alloc() < _PSRAM_BYTES
