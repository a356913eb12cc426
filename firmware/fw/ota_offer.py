"""Checks an offer of an update, and keeps its manifest of keys (docs/protocols/ota.md). Loaded for one offer.

The facts of the board come first, and their code is dropped before the code of the checks is loaded.
"""

import asyncio
import calendar
import sys

from micropython import const
from websocket import Leave

NAME = "microclaw-micropython"
_ACK_MS = const(500)


def checked(up, digest, manifest, signature):
    """Return the plan's arguments for an offer; None for an offer of keys, which are in flash afterwards."""
    trust = _keys().load(up.settings)
    # The manifest was taken before, maybe by a key that it removed.
    if trust.get("hash") == digest:
        up.say("keys-%d" % trust["serial"], "healthy", 1.0, None)
        return None
    room = up.slots().room(up.root)
    board = up.board.update_name()
    checks = __import__("ota_check")
    sys.modules.pop("ota_check")
    try:
        values = checks.check(manifest, signature, _facts(up, trust, board, room))
    except checks.Refused as refused:
        return "refused", refused.version, refused.error()
    if values["kind"] != "keys":
        return "offered", digest, values
    keys = checks.changed_keys(values, trust["keys"])
    version = checks.version_of(values)
    del checks
    trust.update({"keys": keys, "serial": values["serial"], "hash": digest})
    keys_file = _keys()
    keys_file.storage.write_sealed(up.settings.path(keys_file.FILE), trust)
    del keys_file
    up.say(version, "healthy", 1.0, None)
    record = up.record
    if up.todo in ("download", "verify") and record["key"] not in keys:
        up.stop()
        up.fail("unknown_key: it was removed")
    asyncio.create_task(_greet_anew(up.link))
    return None


async def _greet_anew(link):
    """End the connection when this offer is acked, so that the next `hello.ota` has the new keys."""
    await asyncio.sleep_ms(_ACK_MS)
    link._end(Leave(1000, "other keys", 0))


def _keys():
    module = __import__("ota_keys")
    sys.modules.pop("ota_keys")
    sys.modules.pop("storage", None)
    return module


def _facts(up, record, board, room):
    token = (up.settings.token or "").split("_")  # mc1_ID_...
    return {
        "name": NAME,
        "board": board,
        "channel": record["channel"],
        "device": token[1] if len(token) > 2 else "",
        "version": up.link.version,
        "revision": up.settings.get("revision", ""),
        "security_version": max(up.board.number("sec"), up.record.get("security", 0)),
        "keys": record["keys"],
        "serial": record.get("serial", 0),
        "now_s": calendar.now_ms() // 1000 if calendar.is_set() else None,
        # A stock image has one slot.
        "slot_bytes": 0,
        "room_bytes": room,
    }
