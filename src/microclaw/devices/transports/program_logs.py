"""The lines of a board's programs that this host has read, with the gaps counted. Sends nothing itself."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from msgspec import Struct

from microclaw.devices.registry.calls import LogLine
from microclaw.devices.registry.log_ring import LogRing
from microclaw.errors import ProtocolError
from microclaw.wire.wasmachine.program_log import MAX_MS, ProgramLog, carries_log

AskLog: TypeAlias = Callable[[str, int], Awaitable[ProgramLog | None]]
"""Asks a program for its lines from a number on. Returns None without an answer. Raises ProtocolError for another."""

LEAST_APART_S: Final = 0.2
"""Within this time after a refresh, the known lines are returned."""
# A program that does not answer is not asked again for this time.
_SILENT_S: Final = 60.0
# The same for a program that certainly keeps its lines, and only computes at the moment.
_BUSY_S: Final = 5.0
_RESTARTED_MS: Final = 5_000.0
_DRIFT: Final = 1e-3


class _Program(Struct):
    """The reading of one program.

    `next`: the number of the next line; `started_ms`: the time of its first line on this host's clock, None before it
    was read; `has_log`: True if it keeps its lines, None if this host did not install it.
    """

    has_log: bool | None = None
    next: int = 0
    started_ms: float | None = None
    ask_after_s: float = 0.0
    # True if a line in `ring` says that its lines cannot be read.
    is_unreadable: bool = False


class ProgramLogs:
    """The lines of one board's programs. `refresh` asks each program for new lines, and adds them to `ring`."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self.ring = LogRing()
        self._now_s = now_s
        self._programs: dict[str, _Program] = {}
        self._refreshed_s: float | None = None

    def installed(self, name: str, wasm: bytes) -> None:
        """Note that another program has this name now."""
        self._programs[name] = _Program(carries_log(wasm))
        self._refreshed_s = None

    @property
    def is_due(self) -> bool:
        return self._refreshed_s is None or self._now_s() - self._refreshed_s >= LEAST_APART_S

    async def refresh(self, names: tuple[str, ...], ask: AskLog) -> None:
        """Ask each of the board's programs for new lines, except programs that did not answer a short time ago."""
        self._refreshed_s = self._now_s()
        self._programs = {name: self._programs.get(name) or _Program() for name in names}
        for name, program in self._programs.items():
            if program.has_log is False or program.ask_after_s > self._now_s():
                continue
            has_answered = False
            try:
                has_answered = await self._read_program(name, program, ask)
            except ProtocolError as exc:
                self._note_unreadable(name, program, exc)
            if not has_answered:
                pause_s = _BUSY_S if program.has_log else _SILENT_S
                program.ask_after_s = self._now_s() + pause_s
        self._refreshed_s = self._now_s()

    def _note_unreadable(self, name: str, program: _Program, exc: ProtocolError) -> None:
        # A program of another author may have its own answer to that url.
        if program.has_log and not program.is_unreadable:
            program.is_unreadable = True
            text = f"the output of {name} cannot be read: {exc.message[:200]}"
            self.ring.add(LogLine(0.0, None, text, round(time.time() * 1000)))

    async def _read_program(self, name: str, program: _Program, ask: AskLog) -> bool:
        """Add a program's new lines to the ring. Returns False if it did not answer."""
        log = await ask(name, program.next)
        if log is not None and self._has_restarted(program, log):
            # Its line numbers began again.
            log = await ask(name, 0)
            if log is not None:
                program.next = 0
        if log is None:
            return False
        missing_count = log.first - program.next
        if missing_count > 0 and log.lines:
            words = "line was" if missing_count == 1 else "lines were"
            self.ring.add(self._line(name, log, log.lines[0].t_ms, f"({missing_count} {words} left out)"))
        for line in log.lines:
            end = "…" if line.is_cut else ""
            self.ring.add(self._line(name, log, line.t_ms, line.text + end))
        program.next = log.next
        program.started_ms = self._started_ms(log)
        return True

    def _has_restarted(self, program: _Program, log: ProgramLog) -> bool:
        if program.started_ms is None:
            return False
        later_ms = self._started_ms(log) - program.started_ms
        return log.next < program.next or later_ms > _RESTARTED_MS + _age_ms(log) * _DRIFT

    def _started_ms(self, log: ProgramLog) -> float:
        return self._now_s() * 1000 - _age_ms(log)

    def _line(self, name: str, log: ProgramLog, t_ms: int, text: str) -> LogLine:
        ago_ms = (log.now_ms - t_ms) % MAX_MS
        return LogLine(float(t_ms), name, text, round(time.time() * 1000 - ago_ms))


def _age_ms(log: ProgramLog) -> float:
    return float((log.now_ms - log.began_ms) % MAX_MS)
