"""The updates that this board takes (docs/protocols/ota.md): keys, channel, chip. Loaded for a greeting or an offer.

/keys.json, sealed like the records of programs: `keys` {id: modulus in base64}, `channel`, and of the last manifest of
kind `keys` its `serial` and `hash`. `microclaw flash` writes it; a board without it takes no updates.
"""

import storage

FILE = "keys.json"
SECURITY = "sec"  # in NVS: the highest security_version that was healthy here


def load(settings):
    """None where nobody gave the board a key."""
    found = storage.read_sealed(settings.path(FILE))
    return found if found and found.get("keys") else None


def hello(board, settings):
    """`hello.ota`, or None for a board that takes no updates."""
    told = load(settings)
    name = board.update_name()
    if not told or not name or not board.keeps_numbers():  # main.py goes back by NVS
        return None
    found = {
        "board": name,
        "channel": told["channel"],
        "kinds": ["files"],
        "keys": sorted(told["keys"]),
        "security_version": board.number(SECURITY),
    }
    if settings.get("revision"):
        found["revision"] = settings.get("revision")
    return found
