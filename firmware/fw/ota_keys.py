"""The updates that this board takes (docs/protocols/ota.md): keys, channel, chip. Loaded for a greeting or an offer.

/keys.json, sealed like the records of programs: `keys` {id: modulus in base64}, `channel`, and of the last manifest of
kind `keys` its `serial` and `hash`. `microclaw flash` writes it; a board without it takes no updates.
"""

import storage

FILE = "keys.json"
# In NVS: the highest security_version that was healthy here.
SECURITY = "sec"


def load(settings):
    """Return the record of keys, or None if the board has no key."""
    record = storage.read_sealed(settings.path(FILE))
    return record if record and record.get("keys") else None


def hello(board, settings):
    """Return `hello.ota`, or None for a board that takes no updates."""
    record = load(settings)
    name = board.update_name()
    # main.py goes back by NVS.
    if not record or not name or not board.keeps_numbers():
        return None
    body = {
        "board": name,
        "channel": record["channel"],
        "kinds": ["files"],
        "keys": sorted(record["keys"]),
        "security_version": board.number(SECURITY),
    }
    if settings.get("revision"):
        body["revision"] = settings.get("revision")
    return body
