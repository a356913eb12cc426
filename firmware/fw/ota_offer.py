"""An offer of an update is checked, and its manifest of keys kept (docs/protocols/ota.md). Read in for one offer."""

import asyncio
import calendar
from binascii import hexlify
from hashlib import sha256

import storage
from micropython import const
from ota_check import Facts, Refused, changed_keys, check, version_of
from ota_keys import FILE, SECURITY, board_name, load
from websocket import Leave

NAME = "microclaw-micropython"
_ACK_MS = const(500)


def take(up, manifest, signature):
    """Whatever comes of it is in flash afterwards."""
    digest = hexlify(sha256(manifest).digest()).decode()
    if up.move("known", digest):
        return
    told = load(up.settings)
    if told.get("hash") == digest:  # it was taken, maybe by a key that it removed
        up.say("keys-%d" % told["serial"], "healthy", 1.0, None)
        return
    try:
        values = check(manifest, signature, _facts(up, told))
    except Refused as refused:
        up.move("refused", refused.version, refused.error())
        return
    if values["kind"] != "keys":
        if up.move("offered", digest, values):
            up.begin_anew()
        return
    keys = changed_keys(values, told["keys"])
    told.update({"keys": keys, "serial": values["serial"], "hash": digest})
    storage.write_sealed(up.settings.path(FILE), told)
    up.say(version_of(values), "healthy", 1.0, None)
    record = up.record
    if up.todo in ("download", "verify") and record["key"] not in keys:
        up.drop("unknown_key: it was removed")
    asyncio.create_task(_greet_anew(up.link))


async def _greet_anew(link):
    """Once this is acked: `hello.ota` tells the keys."""
    await asyncio.sleep_ms(_ACK_MS)
    link._end(Leave(1000, "other keys", 0))


def _facts(up, told):
    board = up.board
    token = (up.settings.token or "").split("_")  # mc1_ID_...
    security = max(board.number(SECURITY), up.record.get("security", 0))
    facts = Facts(
        NAME, board_name(board), told["channel"], token[1] if len(token) > 2 else "", up.link.version, security
    )
    facts.keys, facts.serial = told["keys"], told.get("serial", 0)
    facts.now_s = calendar.now_ms() // 1000 if calendar.is_set() else None
    facts.slot_bytes = up.slots("image").room(up)
    facts.room_bytes = up.slots("files").room(up)
    facts.revision = up.settings.get("revision", "")
    return facts
