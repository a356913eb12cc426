"""The lines of a board's programs as this host has heard them, with gaps counted. Sends nothing itself."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from msgspec import Struct

from microclaw.devices.calls import LogLine
from microclaw.devices.log_ring import LogRing
from microclaw.errors import ProtocolError
from microclaw.wire.wasmachine.program_log import MAX_MS, ProgramLog, carries_log

AskLog: TypeAlias = Callable[[str, int], Awaitable[ProgramLog | None]]
"""Asks a program for its lines from a number on; None: no answer. Raises ProtocolError for one of another kind."""

LEAST_APART_S: Final = 0.2
"""Who reads more often gets what is known."""
_SILENT_S: Final = 60.0
_BUSY_S: Final = 5.0  # a program that surely keeps its lines, and computes just now
_RESTARTED_MS: Final = 5_000.0
_DRIFT: Final = 1e-3


class _Heard(Struct):
    """The place up to which a program was read. `started_ms`: when it printed first, by this host's clock."""

    next: int
    started_ms: float


class ProgramLogs:
    """One board's. `refresh` asks each program for what is new, and puts it into `ring`."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self.ring = LogRing()
        self._now_s = now_s
        self._heard: dict[str, _Heard] = {}
        self._ask_after_s: dict[str, float] = {}
        self._has_log: dict[str, bool] = {}
        self._unread: set[str] = set()
        self._refreshed_s: float | None = None

    def installed(self, name: str, wasm: bytes) -> None:
        """Another program has this name now."""
        self.removed(name)
        self._has_log[name] = carries_log(wasm)
        self._refreshed_s = None

    def removed(self, name: str) -> None:
        for known in (self._heard, self._ask_after_s, self._has_log):
            known.pop(name, None)
        self._unread.discard(name)

    @property
    def is_due(self) -> bool:
        return self._refreshed_s is None or self._now_s() - self._refreshed_s >= LEAST_APART_S

    async def refresh(self, names: tuple[str, ...], ask: AskLog) -> None:
        """Ask each of the board's programs that may answer. One that does not is left alone for a while."""
        self._refreshed_s = self._now_s()
        for gone in self._heard.keys() - set(names):
            self.removed(gone)
        for name in names:
            if not self._has_log.get(name, True) or self._ask_after_s.get(name, 0.0) > self._now_s():
                continue
            try:
                log = await self._new_lines(name, ask)
            except ProtocolError as exc:
                log = None
                if self._has_log.get(name):  # any other has an answer of its own to that url
                    self._tell_unread(name, exc)
            if log is None:
                pause_s = _BUSY_S if self._has_log.get(name) else _SILENT_S
                self._ask_after_s[name] = self._now_s() + pause_s
        self._refreshed_s = self._now_s()

    def _tell_unread(self, name: str, why: ProtocolError) -> None:
        """Once, as a line of the board: what the program printed is there and cannot be read."""
        if name not in self._unread:
            self._unread.add(name)
            text = f"what {name} printed cannot be read: {why.message[:200]}"
            self.ring.add(LogLine(0.0, None, text, round(time.time() * 1000)))

    async def _new_lines(self, name: str, ask: AskLog) -> ProgramLog | None:
        heard = self._heard.get(name)
        log = await ask(name, heard.next if heard is not None else 0)
        if log is not None and heard is not None and self._is_another(heard, log):
            heard, log = None, await ask(name, 0)
        if log is None:
            return None
        missing = log.first - (heard.next if heard is not None else 0)
        if missing > 0 and log.lines:
            text = f"({missing} {'line was' if missing == 1 else 'lines were'} left out)"
            self.ring.add(self._line(name, log, log.lines[0].t_ms, text))
        for line in log.lines:
            self.ring.add(self._line(name, log, line.t_ms, f"{line.text}…" if line.is_cut else line.text))
        self._heard[name] = _Heard(log.next, self._started_ms(log))
        return log

    def _is_another(self, heard: _Heard, log: ProgramLog) -> bool:
        """True if the program began again since it was heard: then its numbers did, too."""
        later_ms = self._started_ms(log) - heard.started_ms
        return log.next < heard.next or later_ms > _RESTARTED_MS + _age_ms(log) * _DRIFT

    def _started_ms(self, log: ProgramLog) -> float:
        return self._now_s() * 1000 - _age_ms(log)

    def _line(self, name: str, log: ProgramLog, t_ms: int, text: str) -> LogLine:
        ago_ms = (log.now_ms - t_ms) % MAX_MS
        return LogLine(float(t_ms), name, text, round(time.time() * 1000 - ago_ms))


def _age_ms(log: ProgramLog) -> float:
    return float((log.now_ms - log.began_ms) % MAX_MS)
