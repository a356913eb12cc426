"""How a connection of the link begins and ends: pairing, greeting, leaving. Functions of Link, read in when needed."""

import asyncio
import calendar
import sys
import time

from micropython import const
from websocket import Breach, Closed, Leave

_ASK_AGAIN_MS = const(3_600_000)
_UPDATE_BYTES = const(22_528)  # what an offer reads in (19 KB: checks, the manifest), and what programs take meanwhile
_LEAST_BYTES = const(16_384)  # with the programs stopped it was enough on a chip


async def leave(link, exc):
    """Say why and close; raises what `run` waits by."""
    if isinstance(exc, Breach):
        try:
            await link._say("error", {"code": exc.error, "message": exc.message, "fatal": True})
        except OSError:
            raise Closed()
    await link.ws.close(exc.code, exc.error if isinstance(exc, Breach) else exc.reason)
    raise exc if isinstance(exc, Leave) else Leave(exc.code, exc.message)


async def send_light(link):
    """Once more the durable message that did not fit into the memory, or what stands in its place."""
    try:
        await link.ws.send(link.outbox.message(link.outbox.sent))
    except MemoryError:
        size, message = link.outbox.too_large(link.outbox.sent)
        text = "a message of {} bytes for the host does not fit into the memory: it is dropped".format(size)
        link.emit("log", {"source": "link", "level": "error", "text": text})
        await link.ws.send(message)


async def doubt_clock(link):
    """The host's certificate is not valid now: is the clock wrong? NTP is asked, once an hour; True: dial again."""
    now = time.ticks_ms()
    if link._asked_ms is not None and time.ticks_diff(now, link._asked_ms) < _ASK_AGAIN_MS:
        return False
    link._asked_ms = now
    import ntp

    sys.modules.pop("ntp")
    return await ntp.set_clock(link._settings, link._board)


async def greet(link):
    link._opened_ms = time.ticks_ms()
    link._heartbeat_s, link._unanswered, link._pings, link._code_until_ms = 15, 0, 0, None
    link._ping_ms = link._opened_ms
    if link._settings.token is None:
        link.phase = link.state = "pairing"
        await ask_to_pair(link)
        return
    link.phase = "offered"
    hello = {
        "boot_id": link.boot_id,
        "firmware": {"name": "microclaw-micropython", "version": link.version},
        "board": link._settings.board_name(),
        "capabilities": link._calls.methods(),
        "reset_reason": link.reset_reason,
        "kinds": ["py"],
        "tx_epoch": link.outbox.tx_epoch,
        "rx_seq": link.outbox.rx_seq,
    }
    if link.audio_format is not None:
        hello["audio"] = link.audio_format
    if link.outbox.rx_epoch:
        hello["rx_epoch"] = link.outbox.rx_epoch
    import ota_keys

    sys.modules.pop("ota_keys")
    updates = ota_keys.hello(link._board, link._settings)
    if updates is not None:
        hello["ota"] = updates
    del ota_keys
    await link._say("hello", hello)


async def ask_to_pair(link):
    request = {"board": link._settings.board_name(), "token_wanted": True}
    if link._settings.get("secret"):
        request["secret"] = link._settings.get("secret")
    await link._say("pair_request", request)


async def welcome(link, body):
    link._heartbeat_s = max(1, body["heartbeat_s"])
    if abs(calendar.now_ms() - body["time_ms"]) > 500:
        link._board.set_time(body["time_ms"])
    if link._board.number("again"):
        link._board.number("again", 0)
    link.outbox.start(bytes(body["tx_epoch"]))
    if not link.outbox.resume(body.get("rx_epoch"), body["rx_seq"]):
        await link._say("bye", {"reason": "a new epoch"})
        raise Leave(1000, "a new epoch", 0)
    link.phase, link.state, link.failures = "ready", "connected", 0
    link._progress_ms, link._telemetry_ms = time.ticks_ms(), None
    link._news.set()
    if link.ota is not None or link._board.number("trial"):
        link._calls.runner.make_room()
        updates(link).welcome()
    if link.on_welcome is not None:
        link.on_welcome()


def updates(link):
    """The update that is under way, or what takes one."""
    if link.ota is None:
        import ota

        sys.modules.pop("ota")
        link.ota = ota.Updates(link)
    return link.ota


async def take_update(link, type, body, id):
    """An offer or its end. What comes of it is in flash before the message is acked; `error` where nothing can."""
    import ota_keys

    sys.modules.pop("ota_keys")
    code = text = None
    if ota_keys.load(link._settings) is None:
        code = "not_supported"
        text = "this board has no key for updates: microclaw flash --update-key FILE gives it one"
    runner = link._calls.runner
    del ota_keys
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
            link._board.restart()  # the offer, which is not acked, comes to a start that holds the programs back
        code = "no_room"
    except OSError:
        raise  # the flash is full: the host sends it again
    except Exception as exc:  # a defect of ours must not come again with each connection
        sys.print_exception(exc)
        code, text = "failed", "the board could not look at it: {}".format(exc)
    finally:
        if link.ota is None:
            asyncio.create_task(runner.resume())
    if code is not None:
        text = text or "the board has no memory for an update, even after a restart with no program running"
        await link._say("error", {"code": code, "message": text, "fatal": False}, id)
