"""The parts of watched boards: which of them changed since a reader had its news. It reads no board by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypedDict, TypeVar

from msgspec import to_builtins

from microclaw.devices.registry.calls import EdgeLog
from microclaw.programs.bench.board_bench import BenchReading, BoardBench

K = TypeVar("K")

NEWS_S: Final = 1.0
"""News of a board come at least this often, because they contain its time."""


class BenchNews(TypedDict):
    """The states that changed, as GET bench has them. `begins`: all of them, and earlier ones do not count."""

    device: str
    now_ms: float | None
    wiring: str
    fault: str | None
    begins: bool
    parts: dict[str, Any]
    pins: list[Any]


class WatchedBench:
    """The last reading of a board's parts, with the number of the news in which each state changed."""

    def __init__(self, bench: BoardBench) -> None:
        self.bench = bench
        self.readers = 0
        self.number = 0
        self.begin_number = 0
        self.reading: BenchReading | None = None
        self._part_numbers: dict[str, int] = {}
        self._pin_numbers: dict[int, int] = {}
        self._told_s = 0.0

    @property
    def is_silent(self) -> bool:
        """Whether the last reading has a fault."""
        return self.reading is not None and self.reading.fault is not None

    async def read(self, edges: EdgeLog | None, began_s: float) -> bool:
        """Read the board; return True if there is news. `edges` are those since the reading before."""
        return self._note(await self.bench.read(edges), began_s)

    def note_silence(self, fault: str, began_s: float) -> None:
        """Note that the board does not answer."""
        self._note(self.bench.lose(fault), began_s)

    def _note(self, reading: BenchReading, began_s: float) -> bool:
        last = self.reading
        self.reading = reading
        begins = last is None or last.wiring != reading.wiring or not last.pins.keys() <= reading.pins.keys()
        is_other = begins
        if begins:
            self.begin_number = self.number + 1
        if last is not None:
            is_other |= last.fault != reading.fault
            is_other |= _note_changes(self._part_numbers, last.parts, reading.parts, self.number + 1)
            is_other |= _note_changes(self._pin_numbers, last.pins, reading.pins, self.number + 1)
        if not is_other and began_s - self._told_s < NEWS_S:
            return False
        self._told_s = began_s
        self.number += 1
        return True

    def news(self, reading: BenchReading, seen: int) -> BenchNews:
        """Return the news for a reader that had those up to the number `seen`."""
        begins = seen < self.begin_number
        parts = reading.parts
        pins = reading.pins
        if not begins:
            parts = {part: state for part, state in parts.items() if self._part_numbers.get(part, 0) > seen}
            pins = {gpio: pin for gpio, pin in pins.items() if self._pin_numbers.get(gpio, 0) > seen}
        return BenchNews(
            device=self.bench.device.name,
            now_ms=reading.now_ms,
            wiring=reading.wiring,
            fault=reading.fault,
            begins=begins,
            parts=to_builtins(parts),
            pins=to_builtins(list(pins.values())),
        )


class BenchReader:
    """The place of one stream in the parts of each of its boards."""

    def __init__(self, benches: Sequence[WatchedBench]) -> None:
        self._seen = dict.fromkeys(benches, 0)

    def take(self) -> Iterator[BenchNews]:
        """Yield the news of each board."""
        for bench, seen in self._seen.items():
            if bench.reading is None or bench.number == seen:
                continue
            self._seen[bench] = bench.number
            yield bench.news(bench.reading, seen)


def _note_changes(numbers: dict[K, int], before: Mapping[K, object], states: Mapping[K, object], number: int) -> bool:
    """Give the number to each state that is another object than before; return True if there is one."""
    has_changed = False
    for key, state in states.items():
        if before.get(key) is not state:
            numbers[key] = number
            has_changed = True
    return has_changed
