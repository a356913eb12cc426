"""Follows the events that devices sent over the link: readings go into the history, crashes into groups.

What an event becomes and how far the reading came are one transaction, so that after a kill -9 each counts once.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from msgspec import Struct

from microclaw.devices.link.links import LinkRegistry
from microclaw.devices.registry.calls import LogLine
from microclaw.devices.registry.log_ring import LogRing
from microclaw.devices.registry.registry import Registry
from microclaw.devices.telemetry.history import TelemetryHistory
from microclaw.errors import LinkViolation
from microclaw.events import Crashed, LiveEvent
from microclaw.host.store.crashes import CrashKind, CrashReport, StoredCrash, insert_crash
from microclaw.host.store.database import Database
from microclaw.host.store.link_events import EventRow, LinkEventTable
from microclaw.host.store.sql import Sql
from microclaw.host.store.telemetry import Point, insert_points
from microclaw.text import clean_text, code_lines, one_line, program_name
from microclaw.wire.check_lines import LINE_SAID
from microclaw.wire.link.codec import decode
from microclaw.wire.link.messages import Event
from microclaw.wire.link.values import ValueMap

PAGE: Final = 200
# In a cluster, the host that has the device reads its events first.
LEFT_S: Final = 5.0
# A log line may arrive after an event that was sent after it.
LOG_LATE_S: Final = 0.5
# Lines of a device's log that are searched for lines of the crashed program.
LOOK_BACK_LINES: Final = 60
READING: Final = "mqtt.publish"
"""What a Python program reports with (docs/python-programs.md): a reading where its text is a number."""
# The beginning of WAMR's message about a trap.
TRAP: Final = "Exception: "
MAX_TRACE_LINES: Final = 20
MAX_TRACE_CHARS: Final = 4_000
MAX_LINE_CHARS: Final = 240
MAX_TITLE_CHARS: Final = 200
LOG_LINES: Final = 10
_BAD_RESETS: Final = ("watchdog", "wdt", "panic", "brown", "abort", "exception", "lockup", "crash", "link_")
_FRAME: Final = re.compile(r'^\s*File "([^"]*)", line (\d+)(?:, in (.+))?$', re.MULTILINE)
_PLACE: Final = re.compile(
    r"\(line \d+[^()]*, in [^()]*\)|\bline \d+(?: column \d+)?\b|\b[\w.-]+\.(?:c|cpp|h|ino|py):\d+"
)
_ADDRESS: Final = re.compile(r"\b0x[0-9a-fA-F]+\b")
# The number of such an error is part of its kind.
_HAS_NUMBERED_KINDS: Final = "OSError"
_FRAMES: Final = ("Traceback (most recent call last):", '  File "')
_log = logging.getLogger(__name__)


class ReportedEvents:
    """`news` tells of an event of a device; `follow` runs as long as the host."""

    def __init__(
        self,
        database: Database,
        devices: Registry,
        links: LinkRegistry,
        history: TelemetryHistory,
        *,
        publish: Callable[[LiveEvent], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._database = database
        self._events = LinkEventTable(database)
        self._devices = devices
        self._links = links
        self._history = history
        self._publish = publish
        self._sleep = sleep
        self._news = asyncio.Event()
        self._number: int | None = None
        # The number in the store; an event without a result needs no write.
        self._kept = 0
        self._events.follow(self._look_later)

    async def _look_later(self) -> None:
        """Look later for events of another host: it reads them with its devices' logs, unless it has died."""
        await self._sleep(LEFT_S)
        self._news.set()

    def news(self) -> None:
        self._news.set()

    async def follow(self) -> None:
        """Read new events; never returns. After a StoreError the next run continues at the same event."""
        while True:
            self._news.clear()
            while await self.take():
                pass
            await self._news.wait()

    async def take(self) -> bool:
        """Read the next events; False when there were none."""
        if self._number is None:
            self._number = self._kept = await self._database.read(_number)
        rows = await self._events.after(self._number, PAGE)
        if not rows:
            return False
        number = rows[-1].number
        points: list[Point] = []
        crashes: list[CrashReport] = []
        for row in rows:
            record = await self._read(row)
            if isinstance(record, Point):
                points.append(record)
            elif isinstance(record, CrashReport):
                crashes.append(record)
        is_kept = not (points or crashes) or await self._keep(number, points, crashes)
        self._number = number if is_kept else None
        return True

    async def _keep(self, number: int, points: Sequence[Point], crashes: Sequence[CrashReport]) -> bool:
        """Store them and the number of the last event; return False if another host has stored some meanwhile."""

        def write(connection: Sql) -> tuple[Counter[str], Sequence[StoredCrash | None]] | None:
            if _number(connection) != self._kept:
                return None
            connection.execute("UPDATE telemetry_state SET event_number = ?", (number,))
            refused = insert_points(connection, points)
            return refused, [insert_crash(connection, report) for report in crashes]

        done = await self._database.write(write)
        if done is None:
            return False
        self._kept = number
        refused, stored = done
        self._history.count_without_room(refused)
        names = {device.device_id: device.name for device in self._devices.list()}
        for crash, row in zip(crashes, stored, strict=True):
            name = names.get(crash.device_id)
            if row is not None and name is not None:
                self._publish(Crashed(name, crash.at_ms, row.crash_id, crash.kind, row.is_new, row.count, crash.title))
        return True

    async def _read(self, row: EventRow) -> Point | CrashReport | None:
        device = self._devices.owner_of(f"link:{row.device_id}")
        if row.type != Event.type or device is None:
            return None
        try:
            body = decode(row.payload).body
        except LinkViolation as exc:
            # From a later version of this program.
            _log.warning("an event of %s cannot be read: %s", device.name, exc.message)
            return None
        assert isinstance(body, Event)
        if body.name == READING:
            topic = str(body.data.get("topic", ""))
            text = str(body.data.get("text", ""))
            # A text without digits is not a refused reading.
            is_number = any(char.isdigit() for char in text)
            if is_number:
                return self._history.reading(device.device_id, topic, text, row.received_ms)
            return None
        crash = crash_of(body.name, body.data)
        if crash is None:
            return None
        return await self._report(row, device.device_id, crash)

    async def _report(self, row: EventRow, device_id: str, crash: Crash) -> CrashReport:
        link = self._links.link(row.device_id)
        firmware = "" if link.presence is None else link.presence.firmware
        version: str | None = firmware
        before_ms = None
        if crash.kind == "program" and crash.program is not None:
            trace = crash.trace
            if crash.is_trap and _PLACE.search(crash.trace) is None:
                await self._sleep(max(0.0, min(LOG_LATE_S, row.received_ms / 1000 + LOG_LATE_S - time.time())))
                trace = "\n".join([trace, *check_line_before_trap(link.log, crash.program)])
            version, trace = await self._links.parts.reports.in_source(device_id, crash.program, row.received_ms, trace)
            crash = Crash(crash.kind, crash.program, trace)
        elif crash.kind == "reset":
            # The lines that it printed before this boot.
            before_ms = time.time() * 1000 - (self._links.parts.clock.now_ms() - link.boots.began_ms)
        title = title_of(crash)
        return CrashReport(
            device_id=device_id,
            at_ms=row.received_ms,
            fingerprint=fingerprint(crash, version, title),
            kind=crash.kind,
            program=crash.program,
            version=version[:12] if version is not None and crash.kind == "program" else version,
            title=title,
            firmware=firmware,
            trace=crash.trace,
            log=last_lines(link.log, crash.program, before_ms),
        )


def check_line_before_trap(log: LogRing, program: str) -> tuple[str, ...]:
    """Return the line that a check in a C program printed just before its trap, with the place; empty if none."""
    lines = [line.text for line in _newest(log) if line.app == program]
    # The runtime's line about the trap; without it the program's line is the last one.
    trap_at = max((number for number, text in enumerate(lines) if TRAP in text), default=len(lines))
    if trap_at and LINE_SAID.fullmatch(lines[trap_at - 1]):
        return (_shown(lines[trap_at - 1]),)
    return ()


def last_lines(log: LogRing, program: str | None, before_ms: float | None = None) -> tuple[str, ...]:
    """Return a device's last lines, before `before_ms`, of this program and of the board itself, cleaned.

    The frames of tracebacks are left out: they name lines of the compiled program.
    """
    lines = []
    for line in _newest(log):
        is_its_own = program is None or line.app in (program, None)
        is_late = before_ms is not None and line.at_ms is not None and line.at_ms >= before_ms
        if is_its_own and not is_late and not line.text.startswith(_FRAMES):
            text = _shown(line.text)
            if line.app:
                text = f"{clean_text(line.app, one_line=True, limit=64)}: {text}"
            lines.append(text)
    return tuple(lines[-LOG_LINES:])


def _newest(log: LogRing) -> Sequence[LogLine]:
    return log.page(max(0, log.end().cursor - LOOK_BACK_LINES)).lines


def _shown(text: str) -> str:
    return clean_text(one_line(text), one_line=True, limit=MAX_LINE_CHARS)


def _number(connection: Sql) -> int:
    (number,) = connection.execute("SELECT event_number FROM telemetry_state").fetchone()
    return int(number)


class Crash(Struct, frozen=True):
    """A crash that a board reported; `trace` has its lines. A trap's second line is from the program's own checks."""

    kind: CrashKind
    program: str | None
    trace: str

    @property
    def is_trap(self) -> bool:
        return self.kind == "program" and self.trace.startswith(TRAP)


def crash_of(name: str, data: ValueMap) -> Crash | None:
    """Parse a device's event into a crash, by the names of docs/protocols/link-methods.md; None for other events."""
    reason = clean_trace(str(data.get("reason", "")))
    if name == "app.crash":
        return Crash("program", program_name(str(data.get("app", ""))[:200]), reason)
    if name == "crash":
        return Crash("firmware", None, reason)
    if name == "reboot":
        return _reset_of(reason, data.get("not_started"))
    return None


def _reset_of(reason: str, not_started: object) -> Crash | None:
    """Return the crash of a restart; None if the restart is harmless and started the programs."""
    why_not = clean_trace(str(not_started)) if not_started else ""
    if why_not:
        return Crash("reset", None, f"{reason}\nno program was started: {why_not}")
    if any(word in reason.lower() for word in _BAD_RESETS):
        return Crash("reset", None, reason)
    return None


def clean_trace(text: str) -> str:
    """Return the last lines, up to MAX_TRACE_LINES: a traceback ends with the error."""
    lines = []
    for line in clean_text(text[-MAX_TRACE_CHARS:]).split("\n"):
        if line.rstrip():
            lines.append(line.rstrip()[:MAX_LINE_CHARS])
    return "\n".join(lines[-MAX_TRACE_LINES:])


def title_of(crash: Crash) -> str:
    """Return the crash in a line: the error, and its place."""
    lines = code_lines(crash.trace) or ["no reason given"]
    frames = _FRAME.findall(crash.trace)
    if crash.kind == "reset":
        title = f"reset: {crash.trace.replace(chr(10), '; ') or lines[0]}"
    elif frames:
        file, line, function = frames[-1]
        title = f"{lines[-1].strip()} at {file} line {line}"
        if function and function != "<module>":
            title += f" in {function}"
    elif crash.is_trap:
        title = lines[-1].strip()
    else:
        title = lines[0].strip()
    return title[:MAX_TITLE_CHARS]


def fingerprint(crash: Crash, version: str | None, title: str) -> str:
    """Return the same text for crashes of one program and version at one place, whatever numbers they name."""
    parts = (crash.kind, crash.program or "", version or "", _without_numbers(title))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _without_numbers(title: str) -> str:
    """Replace addresses and values by marks; places and the numbers of OSError stay."""
    text = _ADDRESS.sub("0x?", title)
    if text.startswith(_HAS_NUMBERED_KINDS):
        return text
    return re.sub(rf"({_PLACE.pattern})|\d+", lambda match: match[1] or "?", text)
