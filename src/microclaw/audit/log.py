"""Takes events on the event loop and writes them in a thread, limited by kind, source and person (docs/audit.md)."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from microclaw.addresses import address_range
from microclaw.audit.event import ALARMS, BUSY, SETTLED_BY, AuditEvent, AuditKind, RecordedEvent, line_of
from microclaw.audit.log_files import FOLDER, STEMS, append_lines, read_events
from microclaw.errors import StoreError

WINDOW_S: Final = 3600.0
MAX_SOURCES: Final = 1024  # that are told apart of one kind; the rest count as one
MAX_WAITING: Final = 1024  # lines of one set of files
PAUSE_S: Final = 0.5  # before a write: what comes meanwhile shares its syncs
RETRY_S: Final = 5.0  # after a write that failed
_LOOK_S: Final = 60.0  # at an hour that ended, when nothing comes
ALARM_MS: Final = 7 * 86_400_000

_log = logging.getLogger(__name__)


def open_alarms(events: Iterable[RecordedEvent], now_ms: int) -> list[RecordedEvent]:
    """The newest alarm of each device of the last week, unless it was paired again or revoked since."""
    newest: dict[str | None, RecordedEvent] = {}
    for found in events:
        if found.event.kind in SETTLED_BY:
            newest.pop(found.event.about, None)
        elif found.event.kind in ALARMS and now_ms - found.at_ms < ALARM_MS:
            newest[found.event.about] = found
    return sorted(newest.values(), key=lambda found: found.at_ms)


def alarm_text(alarm: RecordedEvent, device: str) -> tuple[str, str]:
    """The event, and what to do about it."""
    at = datetime.fromtimestamp(alarm.at_ms / 1000).astimezone()
    text = f"{device}: a replaced token was shown from {alarm.event.address or 'somewhere'} ({at:%Y-%m-%d %H:%M})"
    return text, f"microclaw device revoke {device}"


class AuditLog:
    """Made by `AuditLog.opened`; `record` is what the host's parts are given."""

    def __init__(
        self,
        home: Path,
        *,
        clock_s: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        mask: Callable[[str], str] = str,
    ) -> None:
        self._home = home
        self._mask = mask
        self._now_ms = now_ms
        self._clock_s = clock_s
        self._lock = threading.Lock()  # of all that follows
        self._hour_s = clock_s()
        self._written: Counter[tuple[object, ...]] = Counter()  # in this hour
        self._left_out: dict[AuditKind, Counter[str]] = {}  # by source, without the first one, which has a line
        self._alarms: list[RecordedEvent] = []
        self._waiting: dict[str, list[bytes]] = {stem: [] for stem in STEMS}
        self._lost = 0
        self._wake = threading.Event()
        self._closing = threading.Event()
        self.problem: str | None = None
        """Why the last write failed; None when it did not."""
        self._thread = threading.Thread(target=self._work, name="audit", daemon=True)

    @classmethod
    @asynccontextmanager
    async def opened(cls, home: Path, *, mask: Callable[[str], str] = str) -> AsyncIterator[AuditLog]:
        """For the time of the block; leaving writes what waits. `mask` takes known secrets out of every text."""
        log = cls(home, mask=mask)
        await asyncio.to_thread(log.start)
        try:
            yield log
        finally:
            await asyncio.shield(asyncio.to_thread(log.close))

    def start(self) -> None:
        """Read the alarms of before and begin to write. Blocking."""
        try:
            self._alarms = open_alarms(read_events(self._home), self._now_ms())
        except (OSError, StoreError) as exc:
            self._fail(f"the security log cannot be read: {exc}")
        self._thread.start()

    def record(self, event: AuditEvent) -> None:
        """Write the event soon, unless there are too many like it. It neither waits nor raises."""
        at_ms = self._now_ms()
        if event.about is None:
            about = None
        else:
            about = self._mask(event.about)
        event = replace(event, text=self._mask(event.text), about=about)
        with self._lock:
            if event.kind in ALARMS | SETTLED_BY:
                self._alarms = open_alarms([*self._alarms, RecordedEvent(at_ms, event)], at_ms)
            self._put(self._hour_ended() + self._limited(event), at_ms)

    def alarms(self) -> list[RecordedEvent]:
        """Those that a person should look at."""
        with self._lock:
            return open_alarms(self._alarms, self._now_ms())

    def close(self) -> None:
        """Write what waits and how much was not written, then end the thread."""
        self._closing.set()
        self._wake.set()
        self._thread.join()

    def _limited(self, event: AuditEvent) -> list[AuditEvent]:
        """The event; or that no more of its kind are written; or nothing."""
        room = _room(event)
        if all(self._written[key] < limit for key, limit in room.items()):
            self._written.update(list(room))
            return [event]
        left_out = self._left_out.get(event.kind)
        if left_out is None:
            self._left_out[event.kind] = Counter()
            return [replace(event, text=f"{event.text} (from here on some of this kind are only counted)")]
        source = _source(event)
        left_out[source if source in left_out or len(left_out) < MAX_SOURCES else "others"] += 1
        return []

    def _hour_ended(self, *, at_once: bool = False) -> list[AuditEvent]:
        """The number of each kind that were not written, when the hour is over."""
        if not at_once and self._clock_s() - self._hour_s < WINDOW_S:
            return []
        left_out = [_summary(kind, sources) for kind, sources in self._left_out.items() if sources]
        self._hour_s = self._clock_s()
        self._written.clear()
        self._left_out.clear()
        return left_out

    def _put(self, events: list[AuditEvent], at_ms: int) -> None:
        for event in events:
            waiting = self._waiting[STEMS[event.is_act]]
            if len(waiting) < MAX_WAITING:
                waiting.append(line_of(event, at_ms))
                self._wake.set()
            else:  # the disk does not keep up
                self._lost += 1

    def _work(self) -> None:
        is_closing = False
        while not is_closing:
            self._wake.wait(_LOOK_S)
            self._closing.wait(PAUSE_S)
            self._wake.clear()
            is_closing = self._closing.is_set()
            with self._lock:
                self._put(self._hour_ended(at_once=is_closing), self._now_ms())
            if not self._write():
                self._closing.wait(RETRY_S)

    def _write(self) -> bool:
        """Write what waits; what cannot be written goes on waiting."""
        if not any(self._waiting.values()):
            return True
        try:
            for stem, waiting in self._waiting.items():
                if lines := waiting[:]:  # `record` only adds to its end
                    append_lines(self._home / FOLDER, stem, lines)
                    del waiting[: len(lines)]
        except (OSError, StoreError) as exc:
            self._fail(f"the security log cannot be written: {exc}")
            self._wake.set()
            return False
        if self._lost:
            _log.warning("%d lines of the security log were lost while it could not be written", self._lost)
        self._lost = 0
        self.problem = None
        return True

    def _fail(self, text: str) -> None:
        if self.problem is None:
            _log.warning("%s", text)
        self.problem = text


def _room(event: AuditEvent) -> dict[tuple[object, ...], int]:
    """Whatever must have room for the event's line, and how many lines each has in an hour."""
    kind = event.kind
    by = event.by
    if event.is_act and (by is None or kind not in BUSY):
        return {(kind, by): 300}
    if event.is_act:  # lines of the same person that nobody said yes to leave in those that somebody did
        is_weighty = event.network or event.approval is not None
        return {(kind, by, is_weighty): 300 if is_weighty else 60}
    if by is None:
        return {(kind,): 20, (kind, _source(event)): 5}
    return {(kind, "person", by): 60, ("person", by): 100, ("all",): 660}


def _source(event: AuditEvent) -> str:
    """The source that an event counts for: the person, else its address range or the device."""
    if event.by is not None:
        return event.by
    if event.address is not None and event.kind not in ALARMS:
        return address_range(event.address)
    return event.about or ""


def _summary(kind: AuditKind, sources: Counter[str]) -> AuditEvent:
    most = ", ".join(f"{source or 'one source'} {number:,}" for source, number in sources.most_common(5))
    count = sources.total()
    return AuditEvent(kind, f"{count:,} more within the hour, not written one by one, most of {most}", count=count)
