"""The keys whose updates a board takes (docs/protocols/ota.md): from the command line, else those that the host knows.

A board keeps the keys that it has when nobody names others: they may have been changed over the link meanwhile.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Final

from microclaw.errors import ConfigError
from microclaw.flash.board_files import KEYS_PATH, BoardFile, Survey, put
from microclaw.flash.raw_repl import RawRepl
from microclaw.flash.workshop import Wishes, Workshop

CHANNEL: Final = "stable"
MAX_KEYS: Final = 4
_CHANNEL: Final = re.compile(r"[a-z0-9-]{1,32}")
_REVISION: Final = re.compile(r"[A-Za-z0-9._-]{1,32}")


async def give_keys(shop: Workshop, repl: RawRepl, wishes: Wishes, found: Survey) -> None:
    """Write /keys.json where there is something new to write, and say what the board takes now."""
    keys, said = dict(wishes.update_keys), shop.person.say
    if not keys and KEYS_PATH in found.files and wishes.channel is None:
        said("it keeps its keys for updates")
        return
    if not keys and shop.host is not None:
        rows = (await asyncio.to_thread(shop.host.calls.get, "/v1/firmware/keys"))["keys"]
        keys = {row["key_id"]: row["n"] for row in rows}
    if not keys and wishes.channel is not None:
        raise ConfigError("a channel is of updates, and no key is known that signs them", next_step="give --update-key")
    if not keys:
        said("it takes no updates over the link: that needs a key (microclaw firmware keygen, then --update-key FILE)")
        return
    if len(keys) > MAX_KEYS:
        raise ConfigError(
            f"a board takes updates of {MAX_KEYS} keys, and there are {len(keys)}",
            next_step="name those that it shall trust: --update-key FILE",
        )
    channel = wishes.channel or CHANNEL
    await put(repl, BoardFile(KEYS_PATH, sealed_keys(keys, channel)))
    said(f"it takes updates of channel {channel} that are signed by {', '.join(sorted(keys))}")


def checked_channel(channel: str) -> str:
    if _CHANNEL.fullmatch(channel) is None:
        raise ConfigError(f"{channel!r} is no channel", next_step="give 1 to 32 of a-z, 0-9 and -")
    return channel


def checked_revision(revision: str) -> str:
    if _REVISION.fullmatch(revision) is None:
        raise ConfigError(
            f"{revision[:40]!r} is no revision", next_step="give 1 to 32 of A-Z, a-z, 0-9, '.', '_' and -"
        )
    return revision


def sealed_keys(keys: Mapping[str, str], channel: str) -> bytes:
    """/keys.json as the firmware reads it: JSON, its SHA-256 in the second line. `keys`: id to modulus in base64."""
    text = json.dumps({"keys": dict(keys), "channel": channel, "serial": 0}).encode()
    return text + b"\n" + hashlib.sha256(text).hexdigest().encode()
