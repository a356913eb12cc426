"""Begins and ends a connection of the link: pairing, greeting, leaving. Functions of Link, read in when needed."""

import calendar
import time

from binding import once
from micropython import const
from websocket import Breach, Closed, Leave

_ASK_AGAIN_MS = const(3_600_000)


async def leave(link, exc):
    """Report why and close; raise the exception by which `run` waits."""
    if isinstance(exc, Breach):
        try:
            await link._say("error", {"code": exc.error, "message": exc.message, "fatal": True})
        except OSError:
            raise Closed()
    await link.ws.close(exc.code, exc.error if isinstance(exc, Breach) else exc.reason)
    raise exc if isinstance(exc, Leave) else Leave(exc.code, exc.message)


async def send_light(link):
    """Send again the durable message that did not fit into the memory, or a small one in its place."""
    try:
        await link.ws.send(link.outbox.message(link.outbox.sent))
    except MemoryError:
        size, message = link.outbox.too_large(link.outbox.sent)
        text = "a message of {} bytes for the host does not fit into the memory: it is dropped".format(size)
        link.emit("log", {"source": "link", "level": "error", "text": text})
        await link.ws.send(message)


async def doubt_clock(link):
    """Ask NTP for the time, once an hour, if the host's certificate is not valid now; return True to connect again."""
    now = time.ticks_ms()
    if link._asked_ms is not None and time.ticks_diff(now, link._asked_ms) < _ASK_AGAIN_MS:
        return False
    link._asked_ms = now
    return await once("ntp").set_clock(link._settings, link._board)


async def greet(link):
    link._opened_ms = time.ticks_ms()
    link._heartbeat_s = 15
    link._unanswered = 0
    link._pings = 0
    link._code_until_ms = None
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
    updates = once("ota_keys").hello(link._board, link._settings)
    if updates is not None:
        hello["ota"] = updates
    await link._say("hello", hello)


async def ask_to_pair(link):
    request = {"board": link._settings.board_name(), "token_wanted": True}
    secret = link._settings.get("secret")
    request.update({"secret": secret} if secret else {})
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
    link.phase = "ready"
    link.state = "connected"
    link.failures = 0
    link._progress_ms = time.ticks_ms()
    link._telemetry_ms = None
    link._news.set()
    if link.ota is not None or link._board.number("trial"):
        link._calls.runner.make_room()
        link.updates().welcome()
    if link.on_welcome is not None:
        link.on_welcome()
    _count_room(link, link._calls.runner)


def _count_room(link, runner):
    """Set what programs may claim without PSRAM: what they have and what the link leaves, less what calls need."""
    board = runner.board
    if board.is_small and link.ota is None and not runner.paused:
        runner.make_room()
        running = [program for program in runner._programs.values() if program.env is not None]
        claimed = sum([max(program.claim, program.env.quota.holds) for program in running])
        board.heap = claimed + max(0, board.own_free() - board.reserve)
