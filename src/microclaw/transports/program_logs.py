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


class _Program(Struct):
    """The reading of one program. `next`: the number of the line to ask for; `started_ms`: when it printed first, by
    this host's clock, None before it was read; `has_log`: that it keeps its lines, None for one of somebody else.
    """

    has_log: bool | None = None
    next: int = 0
    started_ms: float | None = None
    ask_after_s: float = 0.0
    is_unreadable: bool = False  # and the board's lines say so


class ProgramLogs:
    """One board's. `refresh` asks each program for what is new, and puts it into `ring`."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self.ring = LogRing()
        self._now_s = now_s
        self._programs: dict[str, _Program] = {}
        self._refreshed_s: float | None = None

    def installed(self, name: str, wasm: bytes) -> None:
        """Another program has this name now."""
        self._programs[name] = _Program(carries_log(wasm))
        self._refreshed_s = None

    @property
    def is_due(self) -> bool:
        return self._refreshed_s is None or self._now_s() - self._refreshed_s >= LEAST_APART_S

    async def refresh(self, names: tuple[str, ...], ask: AskLog) -> None:
        """Ask each of the board's programs that may answer. One that does not is left alone for a while."""
        self._refreshed_s = self._now_s()
        self._programs = {name: self._programs.get(name) or _Program() for name in names}
        for name, known in self._programs.items():
            if known.has_log is False or known.ask_after_s > self._now_s():
                continue
            has_answered = False
            try:
                has_answered = await self._take_new_lines(name, known, ask)
            except ProtocolError as exc:
                if known.has_log and not known.is_unreadable:  # any other has an answer of its own to that url
                    known.is_unreadable = True
                    text = f"what {name} printed cannot be read: {exc.message[:200]}"
                    self.ring.add(LogLine(0.0, None, text, round(time.time() * 1000)))
            if not has_answered:
                known.ask_after_s = self._now_s() + (_BUSY_S if known.has_log else _SILENT_S)
        self._refreshed_s = self._now_s()

    async def _take_new_lines(self, name: str, known: _Program, ask: AskLog) -> bool:
        log = await ask(name, known.next)
        if log is not None and known.started_ms is not None:
            later_ms = self._started_ms(log) - known.started_ms
            if log.next < known.next or later_ms > _RESTARTED_MS + _age_ms(log) * _DRIFT:
                log = await ask(name, 0)  # it began again, and its numbers with it
                known.next = known.next if log is None else 0
        if log is None:
            return False
        missing = log.first - known.next
        if missing > 0 and log.lines:
            text = f"({missing} {'line was' if missing == 1 else 'lines were'} left out)"
            self.ring.add(self._line(name, log, log.lines[0].t_ms, text))
        for line in log.lines:
            self.ring.add(self._line(name, log, line.t_ms, f"{line.text}…" if line.is_cut else line.text))
        known.next, known.started_ms = log.next, self._started_ms(log)
        return True

    def _started_ms(self, log: ProgramLog) -> float:
        return self._now_s() * 1000 - _age_ms(log)

    def _line(self, name: str, log: ProgramLog, t_ms: int, text: str) -> LogLine:
        ago_ms = (log.now_ms - t_ms) % MAX_MS
        return LogLine(float(t_ms), name, text, round(time.time() * 1000 - ago_ms))


def _age_ms(log: ProgramLog) -> float:
    return float((log.now_ms - log.began_ms) % MAX_MS)
