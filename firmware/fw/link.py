"""The board's end of the link (docs/protocols/link.md): connects, greets, sends, receives, and reconnects forever.

Answers to the host's messages are in calls.py, what survives a power cut is in outbox.py.
"""

import asyncio
import calendar
import os
import random
import sys
import time

import cbor
import outbox
from binding import bound, once
from calls import refusal
from messages import checked, encode, is_known, is_late
from micropython import const
from websocket import Breach, Closed, Leave

_GREETING_S = const(10)
_TELEMETRY_S = const(30)
_REFUSED_S = const(60)
_RESEND_S = const(30)
_MAX_LOGS = const(32)
_MAX_LOG_CHARS = const(500)
_MAX_SHOWN = const(2000)
_MAX_WAITING_CALLS = const(16)
_PHASES = {"welcome": "offered", "pair_code": "pairing", "pair_done": "pairing"}


class Link:
    """The link to the host.

    `show` prints what a person must see. `audio` gets ("payload", audio), messages about streams, and ("leave", None)
    at a connection's end. `measure` returns more of telemetry.
    """

    def __init__(self, board, settings, calls, version, show=print):
        self._board = board
        self._settings = settings
        self._calls = calls
        self._print = show
        self.outbox = outbox.Outbox(settings.path("outbox"))
        self.phase = "down"
        # For people: waiting, pairing, connected, refused.
        self.state = "waiting"
        # The last time when the board itself did not keep the link down; firmware.py watches it.
        self.well_ms = 0
        self.refused_events = self.dropped = self._logged = self.failures = 0
        self.on_welcome = self.measure = self.audio_format = None
        # The update while it has something to do (ota.py).
        self.ota = None
        # The requests of programs under way, once there was one (fetch.py).
        self.fetches = None
        self.audio = lambda kind, body: None
        self._logs = []
        self._work = []
        # When NTP was last asked because of a certificate.
        self._asked_ms = None
        self._news = asyncio.Event()
        self._busy = asyncio.Event()
        self._reader = self._verdict = None
        self.boot_id = os.urandom(16)
        self.version = version
        self.reset_reason = board.reset_reason()

    def __getattr__(self, name):
        """Load a method when it is needed: begin and end of a connection from greeting.py, updates from ota_take.py."""
        module = "ota_take" if name in ("take_update", "updates") else "greeting"
        return bound(getattr(once(module), name), self)

    def _show(self, text):
        try:
            self._print(once("shown").shown(text[:_MAX_SHOWN]))
        except MemoryError:
            # A task that tells of missing memory must not end for it.
            self._calls.runner.make_room()

    def emit(self, kind, data):
        """Queue a "log" or an "event" for the host; return False if there is no room.

        A log {source, level, text} may be lost. An event {name, data} is durable: it is kept until the host has it.
        """
        if kind != "log":
            try:
                self.outbox.append(encode(kind, data))
            except (outbox.Full, OSError, ValueError) as exc:
                self.refused_events += 1
                self._show("{} is refused: {}".format(kind, str(exc) or "64 wait for the host"))
                return False
        else:
            self._logged += 1
            line = {"level": data["level"], "source": data["source"], "n": self._logged}
            line["text"] = data["text"][:_MAX_LOG_CHARS]
            self._logs.append(line)
            if len(self._logs) > _MAX_LOGS:
                self._logs.pop(0)
                self.dropped += 1
        self._news.set()
        return True

    async def run(self, up):
        """Keep the link up, forever; `up` is set while there is a network."""
        asyncio.create_task(self._carry_out())
        for id in self.outbox.calls:
            self._work.append((id, self.outbox.calls[id], True, True, None))
        while True:
            try:
                await self._keep_up(up)
            except MemoryError:
                # Without this task there would be no link any more.
                self._calls.runner.make_room()
                await asyncio.sleep_ms(500)

    async def _keep_up(self, up):
        while True:
            # Do not connect over the network that a call is about to leave.
            for _ in range(50):
                if self._calls.then is None:
                    break
                await asyncio.sleep_ms(100)
            await up.wait()
            wait_s = None
            is_ours = False
            paired = self._settings.token is not None
            self.state = "waiting"
            # Free the last TLS session too: else the next connection makes the heap grow.
            self._calls.runner.make_room()
            try:
                short = self._board.link_short()
                if short:
                    raise MemoryError(short)
                await self._connection()
            except Closed as exc:
                if paired and exc.code in (4401, 4403, 4409):
                    wait_s = _REFUSED_S
                    self.state = "refused"
                    self._show("the host refuses this board: {}: a person must look".format(exc))
                elif self._retry_after_s is not None:
                    wait_s = min(self._retry_after_s, 3600)
            except Leave as exc:
                wait_s = exc.wait_s
                # Without PSRAM: the names in the code of pairing stay in memory, and take 5 KB.
                if not paired and self._settings.token and self._board.own_free() < 1 << 20:
                    self._board.restart()
            except Exception as exc:
                is_ours = not self._tell(exc)
                if "validity" in str(exc) and await self.doubt_clock():
                    wait_s = 0
            self.phase = "down"
            self.failures += 1
            top_s = min(45.0, 0.5 * 2 ** min(self.failures, 7))
            if not is_ours:
                self.well_ms = time.ticks_add(time.ticks_ms(), 1000 * (wait_s or 60))
            if wait_s != 0:
                await asyncio.sleep((wait_s or 0) + 0.5 + random.random() * (top_s - 0.5))

    async def _connection(self):
        """Run one connection from beginning to end."""
        self._retry_after_s = None
        self.ws = ws = await once("dial").open_link(self._settings, self._board)
        sys.modules.pop("http_head", None)
        tasks = []
        self._verdict = None
        self._reader = asyncio.current_task()
        try:
            await self.greet()
            tasks = [asyncio.create_task(self._tick()), asyncio.create_task(self._pump())]
            while True:
                await self._take(await ws.receive())
        except asyncio.CancelledError:
            if self._verdict is None:
                raise
            await self.leave(self._verdict)
        except (Breach, Leave) as exc:
            await self.leave(exc)
        finally:
            self._reader = None
            for task in tasks:
                task.cancel()
            ws.abort()
            self.audio("leave", None)
            if self.fetches is not None:
                self.fetches.leave()

    def _end(self, verdict):
        """Have the reader task close the connection for this reason; for other tasks."""
        if self._reader is not None and self._verdict is None:
            self._verdict = verdict
            self._reader.cancel()

    async def _say(self, kind, body, re=None, id=None):
        await self.ws.send(encode(kind, body, re, bytearray(b"\x01"), id))

    async def _pump(self):
        """Send kept messages, as far as the host has room for them, requests of programs, and log lines."""
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                while self.phase == "ready":
                    if self.outbox.sent == self.outbox.acked:
                        self._progress_ms = time.ticks_ms()
                    if await self._send_kept():
                        continue
                    if self.fetches is not None and await self.fetches.send_next():
                        continue
                    if not self._logs:
                        break
                    await self._say("log", self._logs.pop(0))
        except Exception as exc:
            self._broke(exc)

    async def _send_kept(self):
        """Send the next durable message; return False if there is none.

        A message that does not fit into the memory would fail at each connection: the host gets its size instead.
        """
        message = None
        try:
            message = self.outbox.next()
            if message is not None:
                await self.ws.send(message)
            return message is not None
        except MemoryError:
            message = None
        self._calls.runner.make_room()
        await self.send_light()
        return True

    def _broke(self, exc):
        """End the connection because a task of it failed: none continues without it."""
        if isinstance(exc, Breach):
            self._end(exc)
            return
        if isinstance(exc, MemoryError):
            self._calls.runner.make_room()
        self._tell(exc)
        self._end(Leave(1001, "the connection broke"))

    def _tell(self, exc):
        """Print why there is no link; return False for a defect of ours or missing memory.

        Return True if the network or the host is at fault.
        """
        if isinstance(exc, (OSError, ValueError, MemoryError, asyncio.TimeoutError)):
            self._show("no link: " + str(exc).strip())
            return not isinstance(exc, MemoryError)
        sys.print_exception(exc)
        return False

    async def _tick(self):
        """Do the work of the clock: pings, telemetry, unacked messages, a new code."""
        try:
            while True:
                await asyncio.sleep_ms(250)
                await self._due(time.ticks_ms())
        except Exception as exc:
            self._broke(exc)

    async def _due(self, now):
        self.well_ms = now
        if self.phase == "offered" and _since(self._opened_ms, now) > _GREETING_S:
            raise Breach(4408, "timeout", "no welcome")
        if self._code_until_ms is not None and time.ticks_diff(now, self._code_until_ms) >= 0:
            self._code_until_ms = None
            await self.ask_to_pair()
        if _since(self._ping_ms, now) >= self._heartbeat_s:
            if self._unanswered >= 2:
                raise Breach(4408, "timeout", "two pings without an answer")
            self._ping_ms = now
            self._pings += 1
            self._unanswered += 1
            if not self.ws.is_busy:
                await self._say("ping", {"n": self._pings, "t0": calendar.now_us()})
        if self.phase != "ready" or self.ws.is_busy:
            return
        if self.outbox.sent > self.outbox.acked and _since(self._progress_ms, now) >= _RESEND_S:
            self._progress_ms = now
            self.outbox.sent = self.outbox.acked
            self._news.set()
        if self._telemetry_ms is None or _since(self._telemetry_ms, now) >= _TELEMETRY_S:
            self._telemetry_ms = now
            await self._say("telemetry", self._telemetry())

    def _telemetry(self):
        body = {"free_heap": self._board.gc_free(), "uptime_s": self._board.now_ms() // 1000, "apps": []}
        for name in ("dropped", "refused_events"):
            if getattr(self, name):
                body[name] = getattr(self, name)
        if self.measure is not None:
            body.update(self.measure())
        return body

    async def _take(self, data):
        if data:
            kind = data[0]
        else:
            kind = 0
        if not data or (kind in (2, 3) and len(data) == 1):
            raise Breach(4400, "malformed", "an empty message")
        if kind in (2, 3, 4):
            most = 1021 if kind == 4 else 2049
            if len(data) > most:
                raise Breach(4413, "too_large", "audio over 2048 bytes, or a piece of an update over 1008")
            is_empty = kind == 4 and len(data) < 14
            if kind == 2 or self.phase != "ready" or is_empty:
                raise Breach(4400, "unexpected_message", "audio in the wrong direction, no data, or too early")
            if kind == 3:
                self.audio("payload", memoryview(data)[1:])
            elif self.ota is not None:
                self.ota.piece(memoryview(data)[1:])
        if kind != 1:
            return
        try:
            message = cbor.loads(memoryview(data)[1:])
            type, body, re, seq = checked(message)
        except (ValueError, KeyError, TypeError, RuntimeError, OverflowError) as exc:
            raise Breach(4400, "malformed", str(exc))
        if (type in _PHASES or self.phase != "ready") and type not in ("error", "bye"):
            pings = self.phase == "pairing" and type in ("ping", "pong")
            if _PHASES.get(type) != self.phase and not pings:
                raise Breach(4400, "unexpected_message", "{} while {}".format(type[:40], self.phase))
        if seq is None:
            await self._act(type, body, message["id"], re)
        else:
            await self._take_durable(seq, type, body, message["id"])

    async def _take_durable(self, seq, type, body, id):
        box = self.outbox
        if seq > box.rx_seq + 1:
            raise Breach(4400, "sequence_gap", "number {} after {}".format(seq, box.rx_seq))
        if seq == box.rx_seq + 1:
            call = None
            if type == "call":
                call = [body["method"], body["params"], body["idempotent"]]
            if type in ("ota_offer", "ota_cancel"):
                await self.take_update(type, body, id)
            if box.take(seq, id, call):
                if call:
                    await self._queue(id, call, True, body.get("ttl_ms"))
                elif type == "notify" and not is_late(body):
                    self._show("notify: " + body["text"])
                elif not is_known(type):
                    text = "no message " + type[:40]
                    await self._say("error", {"code": "unknown_type", "message": text, "fatal": False}, id)
        await self._say("ack", {"seq": box.rx_seq})

    async def _act(self, type, body, id, re):
        if type == "ping":
            now = calendar.now_us()
            await self._say("pong", {"n": body["n"], "t0": body["t0"], "t1": now, "t2": calendar.now_us()}, id)
        elif type == "pong":
            self._unanswered = 0
            now = calendar.now_us()
            # The answer came within 1 s, and the clocks differ by more. `t2` is 0 if the host has no clock.
            if self.phase == "ready" and 0 <= now - body["t0"] < 1000000 < abs(now - body["t2"]) < now:
                self._board.set_time(body["t2"] // 1000)
        elif type == "ack":
            if body["seq"] > self.outbox.last:
                raise Breach(4400, "malformed", "an ack of a number never given")
            self._progress_ms = time.ticks_ms()
            if self.outbox.ack(body["seq"]):
                self._news.set()
        elif type == "call":
            call = [body["method"], body["params"], body["idempotent"]]
            await self._queue(id, call, False, body.get("ttl_ms"))
        elif self.fetches is not None and self.fetches.take(type, body, re):
            pass
        elif type == "welcome":
            await self.welcome(body)
        elif type == "token":
            self._settings.keep_token(body["token"])
        elif type == "bye":
            self._retry_after_s = body.get("retry_after_s")
        elif type == "error":
            self._show("the host says {}: {}".format(body["code"], body["message"]))
            if self.ota is not None and re is not None:
                self.ota.refused(body["code"])
        elif type == "pair_code":
            self._code_until_ms = time.ticks_add(time.ticks_ms(), 1000 * body["expires_s"])
            self._show("pairing code {}: microclaw device pair {}".format(body["code"], body["code"]))
        elif type == "pair_done":
            self._settings.keep_token(body["token"])
            raise Leave(1000, "paired", 0)
        else:
            self.audio(type, body)

    async def _queue(self, id, call, durable, ttl_ms):
        if len(self._work) >= _MAX_WAITING_CALLS:
            await self._answer(id, refusal("failed", "{} calls wait".format(_MAX_WAITING_CALLS)), durable)
        else:
            if ttl_ms is None:
                until = None
            else:
                until = time.ticks_add(time.ticks_ms(), min(ttl_ms, 1 << 28))
            self._work.append((id, call, durable, False, until))
            self._busy.set()

    async def _carry_out(self):
        """Carry out one call at a time, in order; the connection may end meanwhile."""
        while True:
            while self._work:
                try:
                    await self._carry(*self._work[0])
                except MemoryError:
                    # The calls after it are answered nevertheless.
                    self._calls.runner.make_room()
                self._work.pop(0)
            await self._busy.wait()
            self._busy.clear()

    async def _carry(self, id, call, durable, began, until):
        method, params, idempotent = call
        if began and not idempotent:
            result = refusal("outcome_unknown", "the board lost its power while it ran " + method[:40])
        else:
            result = await self._calls.answer(id, method, params, idempotent, until)
        ending = self._calls.then
        try:
            try:
                await self._answer(id, result, durable)
            except MemoryError:
                # What the call began may have taken it.
                self._calls.runner.make_room()
                await self._answer(id, result, durable)
            if ending is not None and self.phase == "ready":
                await self._say("bye", {"reason": ending[0], "retry_after_s": 0})
                await self.ws.close(1001, ending[0])
        except (OSError, MemoryError) as exc:
            self._show("an answer is lost: {}".format(exc))
            # If the connection is whole, the flash is full.
            if self.phase == "ready" and self.ws.is_torn:
                self._broke(exc)
        # The board restarts or changes its network; everything durable is in flash.
        if ending is not None:
            self._end(Leave(1001, ending[0], 0))
            # Otherwise a new network would count this connection before it ends.
            self.phase = "down"
            ending[1](self)
            self._calls.then = None

    async def _answer(self, id, result, durable):
        most = outbox.MAX_MESSAGE if durable else 16384
        try:
            head = b"" if durable else b"\x01"
            message = encode("result", result, id, bytearray(head))
            if len(message) > most:
                result = refusal(
                    "too_large", "an answer of {} bytes, at most {} can be sent".format(len(message), most)
                )
                return await self._answer(id, result, durable)
        except ValueError as exc:
            return await self._answer(id, refusal("failed", "the answer cannot be sent: {}".format(exc)), durable)
        if durable:
            self.outbox.append(message, id)
            self._news.set()
        elif self.phase == "ready":
            await self.ws.send(message)


def _since(start, now):
    """Return the seconds between two times in ticks."""
    return time.ticks_diff(now, start) // 1000
