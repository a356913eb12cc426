"""The security log: what an event costs its caller, what a line costs the thread that writes it, what verifying costs.

Beside the plain write in the same run: the same lines, without a chain, added to a file in the same groups and synced.
"""

from __future__ import annotations

import os
import tempfile
from collections import deque
from pathlib import Path

from bench.report import Metric, median, timed
from microclaw.host.audit.event import AuditEvent, AuditKind, line_of
from microclaw.host.audit.log import AuditLog
from microclaw.host.audit.log_files import FOLDER, append_lines, verify_chains

LINES = 1000  # in a group: what comes within half a second under load
GROUPS = 9
RUNS = 7
EVENT = AuditEvent(AuditKind.CALL_ACTED, "change 12: pin 4 to 1", about="lamp", by="ada", approval="a1b2c3d4")


def measure() -> list[Metric]:
    with tempfile.TemporaryDirectory(prefix="mc-bench-") as name:
        folder = Path(name)
        pairs = [(_chained(folder / f"c{n}", LINES), _plain(folder / f"p{n}", LINES)) for n in range(RUNS)]
        alone = [(_chained(folder / f"a{n}", 1), _plain(folder / f"b{n}", 1)) for n in range(RUNS)]
        asked = median([_asked(folder / f"r{n}") for n in range(RUNS)])
        verified = median([_verified(folder / "c0") for _ in range(RUNS)])
    chained, plain = (median([pair[at] for pair in pairs]) for at in (0, 1))
    one, plain_one = (median([pair[at] for pair in alone]) for at in (0, 1))
    return [
        Metric("an event, for its caller", asked * 1e3, "ms", 0.1),
        Metric("a line, for the thread that writes (1,000 in a group)", chained * 1e3, "ms", 0.1),
        Metric("a chained line / the plain one, in groups", median([c / p for c, p in pairs]), "x"),
        Metric("the plain line, in groups", plain * 1e3, "ms"),
        Metric("a line alone, with its syncs", one * 1e3, "ms"),
        Metric("the plain line alone, with its sync", plain_one * 1e3, "ms"),
        Metric("a chained line / the plain one, alone", median([c / p for c, p in alone]), "x"),
        Metric("a line, to verify", verified * 1e3, "ms"),
    ]


def _chained(home: Path, lines: int) -> float:
    """Seconds a line."""
    home.mkdir(mode=0o700)
    took = [
        timed(lambda: append_lines(home / FOLDER, "acts", [line_of(EVENT, 0) for _ in range(lines)]))
        for _ in range(GROUPS)
    ]
    return median(took) / lines


def _plain(home: Path, lines: int) -> float:
    home.mkdir(mode=0o700)

    def write() -> None:
        fd = os.open(home / "plain.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(fd, b"".join(line_of(EVENT, 0) for _ in range(lines)))
            os.fsync(fd)
        finally:
            os.close(fd)

    return median([timed(write) for _ in range(GROUPS)]) / lines


def _asked(home: Path) -> float:
    """Seconds an event on the caller's thread; 300 of a kind have a line, the others are counted."""
    home.mkdir(mode=0o700)
    log = AuditLog(home)
    log.start()
    event = AuditEvent(AuditKind.TOKEN_MADE, "acts as ada, for 1 day", about="ci", by="owner")
    try:
        return timed(lambda: deque(map(log.record, [event] * 300), maxlen=0)) / 300
    finally:
        log.close()


def _verified(home: Path) -> float:
    took = timed(lambda: verify_chains(home))
    return took / (LINES * GROUPS)
