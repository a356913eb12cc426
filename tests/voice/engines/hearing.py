"""The common part of the engines' tests: all that is spoken, how loud it is, and the processes that do it."""

from __future__ import annotations

import array
from contextlib import aclosing
from pathlib import Path

from microclaw.voice.engines.engine import Speech, Synthesizer


async def spoken(engine: Synthesizer, text: str) -> list[Speech]:
    async with aclosing(engine.speak(text)) as pieces:
        return [piece async for piece in pieces]


def seconds(pieces: list[Speech]) -> float:
    return sum(len(piece.pcm) / 2 / piece.rate_hz for piece in pieces)


def loudness(pieces: list[Speech]) -> float:
    """The mean of the samples' sizes."""
    samples = array.array("h", b"".join(piece.pcm for piece in pieces))
    return sum(map(abs, samples)) / max(1, len(samples))


def innermost(pid: int) -> int:
    """A worker, which is alone in its sandbox."""
    return [pid, *descendants(pid)][-1]


def descendants(pid: int) -> dict[int, list[str]]:
    """The processes below this one, with their commands; a later one is deeper."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if fields[0] != "Z":
            parents[int(stat.parent.name)] = int(fields[1])
    found: dict[int, list[str]] = {}
    level = {pid}
    while level := {child for child, parent in parents.items() if parent in level}:
        for child in level:
            try:
                found[child] = Path(f"/proc/{child}/cmdline").read_text().split("\0")
            except OSError:
                continue
    return found
