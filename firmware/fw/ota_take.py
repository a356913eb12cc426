"""Begins an update: functions of Link, read in for an offer. What else a connection needs is not in memory then."""

import asyncio
import sys

from binding import once
from micropython import const

# The memory for the code and manifest of an offer (19 KB), and what programs take meanwhile.
_UPDATE_BYTES = const(22_528)
# On a chip this was enough with the programs stopped.
_LEAST_BYTES = const(16_384)


def updates(link):
    """Return the update in progress, or a new object that takes one."""
    if link.ota is None:
        link.ota = once("ota").Updates(link)
    return link.ota


async def take_update(link, type, body, id):
    """Take an offer or its end; the result is in flash before the message is acked.

    If it cannot be written, the host gets `error`.
    """
    code = text = None
    if once("ota_keys").load(link._settings) is None:
        code = "not_supported"
        text = "this board has no key for updates: microclaw flash --update-key FILE gives it one"
    runner = link._calls.runner
    try:
        if code is None and link.ota is None and not runner.has_room(_UPDATE_BYTES):
            await runner.pause()
            if not runner.has_room(_LEAST_BYTES):
                raise MemoryError
        if code is None and type == "ota_offer":
            updates(link).offer(bytes(body["manifest"]), bytes(body["signature"]))
        elif code is None:
            updates(link).cancel(body["version"])
    except MemoryError:
        if not link._board.number("hold") and link._board.number("hold", 1):
            # The offer is not acked, so it comes again after a start that holds the programs back.
            link._board.restart()
        code = "no_room"
    except OSError:
        # The flash is full: the host sends it again.
        raise
    except Exception as exc:
        # A defect of ours must not come again with each connection.
        sys.print_exception(exc)
        code = "failed"
        text = "the board could not look at it: {}".format(exc)
    finally:
        if link.ota is None:
            asyncio.create_task(runner.resume())
    if code is not None:
        text = text or "the board has no memory for an update, even after a restart with no program running"
        await link._say("error", {"code": code, "message": text, "fatal": False}, id)
