"""Takes events on the event loop and writes them in a thread, limited by kind and by address. It reads none.

One kind, or one address, cannot fill the files: in each hour a kind has so many lines, and one source of it so many.
What a person did or tried is counted for that person alone: nobody leaves out a line of somebody else. The first event
beyond is announced, the rest are counted, and the hour's end says how many. So with every kind at its limit the files
of what comes from outside reach back a week.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from microclaw.addresses import address_range
from microclaw.audit.event import ALARMS, BUSY, OF_DEVICE, SETTLED_BY, AuditEvent, AuditKind, line_of
from microclaw.audit.files import FOLDER, RecordedEvent, append_lines, open_alarms, read_events, stem_of
from microclaw.errors import StoreError

WINDOW_S: Final = 3600.0
_OUTSIDE: Final = (5, 20)  # of one source, of the kind
_OF_TASK: Final = 30  # of one task or question, of the kind
_TRIES: Final = (60, 100)  # from outside, of one person: of the kind, of all kinds together
_TRIES_OF_ALL: Final = 660  # of all people: six of them with all that they have, and room for a seventh
_ACTS: Final = 300  # of one person; of all together where nobody is named
_BUSY: Final = 60  # of one person
_BUSY_DEVICES: Final = (20, 60)
_WEIGHTY: Final = "\nweighty"  # after a person's name, which has one line
MAX_SOURCES: Final = 1024  # that are told apart in one window of one kind; the rest count as one
NAMED_SOURCES: Final = 5  # in a line about what was not written
MAX_WAITING: Final = 1024  # lines: fewer bytes than a file holds
PAUSE_S: Final = 0.5  # between two writes: what comes meanwhile shares one sync
RETRY_S: Final = 5.0  # after a write that failed
_LOOK_S: Final = 60.0  # at windows that ended, when nothing comes

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Window:
    """What came of one kind since `began_s`, in all and by source."""

    began_s: float
    lines: int = 0
    written: Counter[str] = field(default_factory=Counter)
    left_out: int = 0
    unwritten: Counter[str] = field(default_factory=Counter)


class EventLimits:
    """Which events get a line. `clock_s` is monotonic. Not for two threads at once."""

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._windows: dict[AuditKind, _Window] = {}
        self._tries = _Window(clock_s())  # of people, over all kinds

    def lines(self, event: AuditEvent) -> list[AuditEvent]:
        """The event; or that no more of its kind are written; or nothing. What windows that ended left comes first."""
        lines = self.ended()
        window = self._windows.setdefault(event.kind, _Window(self._clock_s()))
        source = _source(event)
        if event.by is not None and not event.is_act:
            has_room = self._has_room(event, event.by, window)
        else:
            of_source, of_kind = _limits(event)
            if source not in window.written and len(window.written) >= MAX_SOURCES:
                source = "others"
            has_room = (of_kind is None or window.lines < of_kind) and window.written[source] < of_source
            window.lines += has_room and of_kind is not None  # a person's lines use up no room of the kind
            window.written[source] += has_room
        if has_room:
            return [*lines, event]
        window.left_out += 1
        if window.left_out > 1:
            known = source in window.unwritten or len(window.unwritten) < MAX_SOURCES
            window.unwritten[source if known else "others"] += 1
        else:
            lines.append(replace(event, text=f"{event.text} (from here on some of this kind are only counted)"))
        return lines

    def _has_room(self, event: AuditEvent, person: str, window: _Window) -> bool:
        """Whether there is a line for what a person tried; if so, it is counted."""
        now_s, of_one, (of_kind, of_person) = self._clock_s(), f"\n{event.about}", _TRIES
        if now_s - self._tries.began_s >= WINDOW_S:
            self._tries = _Window(now_s)
        is_over = window.written[person] >= of_kind or self._tries.written[person] >= of_person
        is_over |= event.about is not None and window.written[of_one] >= _OF_TASK
        if is_over or self._tries.lines >= _TRIES_OF_ALL:
            return False
        window.written.update((person, of_one))
        self._tries.written[person] += 1
        self._tries.lines += 1
        return True

    def ended(self, *, all_of_them: bool = False) -> list[AuditEvent]:
        """How many were not written in each window that is over."""
        now_s = self._clock_s()
        over = [kind for kind, window in self._windows.items() if all_of_them or now_s - window.began_s >= WINDOW_S]
        windows = [(kind, self._windows.pop(kind)) for kind in over]
        return [_summary(kind, window) for kind, window in windows if window.left_out > 1]


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
        self._limits = EventLimits(clock_s)
        self._lock = threading.Lock()  # of the limits and the alarms: the thread ends windows in which nothing comes
        self._alarms: list[RecordedEvent] = []
        self._waiting: queue.SimpleQueue[tuple[str, bytes] | None] = queue.SimpleQueue()
        self._left: list[tuple[str, bytes]] = []  # what could not be written yet
        self._lost = 0
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
            self._alarms = list(open_alarms(read_events(self._home), self._now_ms()))
        except (OSError, StoreError) as exc:
            _log.warning("the security log of before cannot be read: %s", exc)
            self.problem = f"the security log cannot be read: {exc}"
        self._thread.start()

    def record(self, event: AuditEvent) -> None:
        """Write the event soon, unless there are too many like it. It neither waits nor raises."""
        at_ms = self._now_ms()
        about = None if event.about is None else self._mask(event.about)
        event = replace(event, text=self._mask(event.text), about=about)
        with self._lock:
            if event.kind in ALARMS | SETTLED_BY:
                kept = open_alarms([*self._alarms, RecordedEvent(at_ms, event)], at_ms)
                self._alarms = list(kept)
            lines = self._limits.lines(event)
        self._put(lines, at_ms)

    def alarms(self) -> tuple[RecordedEvent, ...]:
        """Those that a person should look at."""
        with self._lock:
            return open_alarms(self._alarms, self._now_ms())

    def close(self) -> None:
        """Write what waits and how much was not written, then end the thread."""
        with self._lock:
            rest = self._limits.ended(all_of_them=True)
        self._put(rest, self._now_ms())
        self._waiting.put(None)
        self._closing.set()
        self._thread.join()

    def _put(self, events: list[AuditEvent], at_ms: int) -> None:
        for event in events:
            if self._waiting.qsize() >= MAX_WAITING:  # the disk does not keep up
                self._lost += 1
                continue
            self._waiting.put((stem_of(event), line_of(event, at_ms)))

    def _work(self) -> None:
        going_on = True
        while going_on:
            going_on = self._take()
            written = self._write()
            if going_on:
                self._closing.wait(PAUSE_S if written else RETRY_S)

    def _take(self) -> bool:
        """Wait for events and take all that are there; False when it was the last time."""
        going_on = True
        try:
            item = self._waiting.get(timeout=0 if self._left else _LOOK_S)
            while item is not None:
                self._left.append(item)
                item = self._waiting.get_nowait()
            going_on = False
        except queue.Empty:
            with self._lock:
                ended = self._limits.ended()
            self._left += [(stem_of(event), line_of(event, self._now_ms())) for event in ended]
        self._lost += max(0, len(self._left) - MAX_WAITING)
        del self._left[MAX_WAITING:]
        return going_on

    def _write(self) -> bool:
        if not self._left:
            return True
        lines: dict[str, list[bytes]] = {}
        for stem, line in self._left:
            lines.setdefault(stem, []).append(line)
        try:
            append_lines(self._home / FOLDER, lines)
        except (OSError, StoreError) as exc:
            if self.problem is None:
                _log.warning("the security log cannot be written and is tried again: %s", exc)
            self.problem = f"the security log cannot be written: {exc}"
            return False
        self._left.clear()
        if self._lost:
            _log.warning("%d lines of the security log were lost while it could not be written", self._lost)
            self._lost = 0
        self.problem = None
        return True


def _limits(event: AuditEvent) -> tuple[int, int | None]:
    """The lines of its source, and of its kind; None where only the source counts."""
    if not event.is_act:
        return _OUTSIDE
    if event.kind in OF_DEVICE:
        return _BUSY_DEVICES
    if event.by is None:
        return _ACTS, _ACTS
    return (_BUSY if event.kind in BUSY and not event.is_weighty else _ACTS), None


def _source(event: AuditEvent) -> str:
    """Whom an event counts for: the person, else its address range or the device."""
    if event.by is not None and event.kind not in OF_DEVICE:
        return f"{event.by}{_WEIGHTY}" if event.kind in BUSY and event.is_weighty else event.by
    if event.address is not None and event.kind not in ALARMS:
        return address_range(event.address)
    return event.about or event.by or ""


def _summary(kind: AuditKind, window: _Window) -> AuditEvent:
    count = window.left_out - 1  # the first one has a line
    named = window.unwritten.most_common(NAMED_SOURCES)
    most = ", ".join(f"{source.removesuffix(_WEIGHTY) or 'one source'} {number:,}" for source, number in named)
    more = f" and {len(window.unwritten) - NAMED_SOURCES} more" if len(window.unwritten) > NAMED_SOURCES else ""
    return AuditEvent(kind, f"{count:,} more within the hour, not written one by one: {most}{more}", count=count)
