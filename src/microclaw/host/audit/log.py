"""Records events on the event loop and writes them in a thread, limited by kind, source and person (docs/audit.md)."""

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
from microclaw.errors import StoreError
from microclaw.host.audit.event import ALARMS, BUSY, SETTLED_BY, AuditEvent, AuditKind, RecordedEvent, line_of
from microclaw.host.audit.log_files import FOLDER, STEMS, append_lines, read_events

WINDOW_S: Final = 3600.0
# Sources that are counted separately for one kind; the rest count as one.
MAX_SOURCES: Final = 1024
# Lines of one set of files.
MAX_WAITING: Final = 1024
# Before a write: events that come meanwhile share its syncs.
PAUSE_S: Final = 0.5
# After a write that failed.
RETRY_S: Final = 5.0
# Between two checks whether the hour has ended, if no event comes.
_LOOK_S: Final = 60.0
ALARM_MS: Final = 7 * 86_400_000

_log = logging.getLogger(__name__)


def open_alarms(events: Iterable[RecordedEvent], now_ms: int) -> list[RecordedEvent]:
    """Return the newest alarm of each device in the last week, unless it was paired again or revoked since."""
    newest: dict[str | None, RecordedEvent] = {}
    for recorded in events:
        if recorded.event.kind in SETTLED_BY:
            newest.pop(recorded.event.about, None)
        elif recorded.event.kind in ALARMS and now_ms - recorded.at_ms < ALARM_MS:
            newest[recorded.event.about] = recorded
    return sorted(newest.values(), key=lambda recorded: recorded.at_ms)


def alarm_text(alarm: RecordedEvent, device: str) -> tuple[str, str]:
    """Return the text of an alarm, and the command against it."""
    at = datetime.fromtimestamp(alarm.at_ms / 1000).astimezone()
    text = f"{device}: a replaced token was shown from {alarm.event.address or 'somewhere'} ({at:%Y-%m-%d %H:%M})"
    return text, f"microclaw device revoke {device}"


class AuditLog:
    """The log of a host, made by `AuditLog.open`; the host's parts get its `record`."""

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
        # It guards all attributes below.
        self._lock = threading.Lock()
        self._hour_s = clock_s()
        # In this hour.
        self._written: Counter[tuple[object, ...]] = Counter()
        # By source, without the first event, which has a line.
        self._left_out: dict[AuditKind, Counter[str]] = {}
        self._alarms: list[RecordedEvent] = []
        self._waiting: dict[str, list[bytes]] = {stem: [] for stem in STEMS}
        self._lost = 0
        self._wake = threading.Event()
        self._closing = threading.Event()
        self.problem: str | None = None
        """Why the last write failed; None if it did not."""
        self._thread = threading.Thread(target=self._work, name="audit", daemon=True)

    @classmethod
    @asynccontextmanager
    async def open(cls, home: Path, *, mask: Callable[[str], str] = str) -> AsyncIterator[AuditLog]:
        """Open the log for the block; leaving the block writes the waiting events.

        `mask` removes known secrets from every text.
        """
        log = cls(home, mask=mask)
        await asyncio.to_thread(log.start)
        try:
            yield log
        finally:
            await asyncio.shield(asyncio.to_thread(log.close))

    def start(self) -> None:
        """Read the alarms of earlier runs and begin to write. Blocking."""
        try:
            self._alarms = open_alarms(read_events(self._home), self._now_ms())
        except (OSError, StoreError) as exc:
            self._fail(f"the security log cannot be read: {exc}")
        self._thread.start()

    def record(self, event: AuditEvent) -> None:
        """Write the event soon, unless there are too many like it. It neither waits nor raises."""
        at_ms = self._now_ms()
        about = None if event.about is None else self._mask(event.about)
        event = replace(event, text=self._mask(event.text), about=about)
        with self._lock:
            if event.kind in ALARMS | SETTLED_BY:
                self._alarms = open_alarms([*self._alarms, RecordedEvent(at_ms, event)], at_ms)
            self._put(self._hour_ended() + self._limited(event), at_ms)

    def alarms(self) -> list[RecordedEvent]:
        """Return the alarms that a person should look at."""
        with self._lock:
            return open_alarms(self._alarms, self._now_ms())

    def close(self) -> None:
        """Write the waiting events and the counts of those not written, then end the thread."""
        self._closing.set()
        self._wake.set()
        self._thread.join()

    def _limited(self, event: AuditEvent) -> list[AuditEvent]:
        """Return the event, or a note that no more of its kind are written, or nothing."""
        limits = _limits(event)
        if all(self._written[key] < limit for key, limit in limits.items()):
            self._written.update(list(limits))
            return [event]
        left_out = self._left_out.get(event.kind)
        if left_out is None:
            self._left_out[event.kind] = Counter()
            return [replace(event, text=f"{event.text} (from here on some of this kind are only counted)")]
        source = _source(event)
        is_counted_alone = source in left_out or len(left_out) < MAX_SOURCES
        left_out[source if is_counted_alone else "others"] += 1
        return []

    def _hour_ended(self, *, at_once: bool = False) -> list[AuditEvent]:
        """Return a summary of the events of each kind that were not written, if the hour is over."""
        if not at_once and self._clock_s() - self._hour_s < WINDOW_S:
            return []
        summaries = [_summary(kind, sources) for kind, sources in self._left_out.items() if sources]
        self._hour_s = self._clock_s()
        self._written.clear()
        self._left_out.clear()
        return summaries

    def _put(self, events: list[AuditEvent], at_ms: int) -> None:
        for event in events:
            waiting = self._waiting[STEMS[event.is_act]]
            if len(waiting) < MAX_WAITING:
                waiting.append(line_of(event, at_ms))
                self._wake.set()
            # The disk is too slow.
            else:
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
        """Write the waiting lines; return False, and let them wait, if that fails."""
        if not any(self._waiting.values()):
            return True
        try:
            for stem, waiting in self._waiting.items():
                # A copy, because `record` may add lines to the end meanwhile.
                lines = waiting[:]
                if lines:
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


def _limits(event: AuditEvent) -> dict[tuple[object, ...], int]:
    """Return the counters that the event's line uses up, each with its limit in an hour."""
    kind = event.kind
    by = event.by
    if not event.is_act:
        if by is None:
            return {(kind,): 20, (kind, _source(event)): 5}
        return {(kind, "person", by): 60, ("person", by): 100, ("all",): 660}
    if by is None or kind not in BUSY:
        return {(kind, by): 300}
    # Acts without a person's approval must not push out the approved acts of the same person.
    is_weighty = event.network or event.approval is not None
    limit = 300 if is_weighty else 60
    return {(kind, by, is_weighty): limit}


def _source(event: AuditEvent) -> str:
    """Return the source that an event counts for: the person, else its address range or the device."""
    if event.by is not None:
        return event.by
    if event.address is not None and event.kind not in ALARMS:
        return address_range(event.address)
    return event.about or ""


def _summary(kind: AuditKind, sources: Counter[str]) -> AuditEvent:
    count = sources.total()
    parts = [f"{source or 'one source'} {number:,}" for source, number in sources.most_common(5)]
    most = ", ".join(parts)
    return AuditEvent(kind, f"{count:,} more within the hour, not written one by one, most of {most}", count=count)
