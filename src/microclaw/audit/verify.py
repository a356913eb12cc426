"""Whether the security log is whole: follows the chain of each set of files and names what does not fit.

It changes nothing. What it cannot tell: docs/audit.md.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from microclaw.audit.chain import START, ChainedLine, Head, Link, fields_of, hash_of, place_of, read_head
from microclaw.audit.files import FOLDER, STEMS, begun_path, begun_sets, check_folder, head_path, lines_of_set, locked

MAX_BREAKS: Final = 20  # that are named of one set
_MISSING_HEAD: Final = "the kept head is missing or unreadable: whether the end was cut off cannot be told"


@dataclass(frozen=True, slots=True)
class Break:
    """`what`: changed, removed, inserted, cut or head. `file` and `line` (from 1 on) are where it shows."""

    what: str
    file: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class ChainReport:
    """Of one set of files. `torn` lines hold no event: a piece that a power cut
    left, or what somebody wrote there. `torn_at`: files and numbers of the first MAX_BREAKS of them.

    `found`: which of the noted hashes are the hash of a line that is there.
    """

    stem: str
    lines: int
    last: Link
    anchor: Link
    torn: int
    torn_at: tuple[tuple[str, int], ...]
    breaks: tuple[Break, ...]
    break_count: int
    found: frozenset[str]

    @property
    def whole(self) -> bool:
        return not self.break_count


def verify_chains(home: Path, noted: Collection[str] = ()) -> tuple[ChainReport, ...]:
    """Follow each set's chain; `noted` are hashes to look for. Writers wait meanwhile. OSError or StoreError."""
    folder = home / FOLDER
    if not check_folder(folder):
        return tuple(_missing(folder, stem) for stem in STEMS)
    with locked(folder):
        return tuple(_verify(folder, stem, frozenset(noted)) for stem in STEMS)


def kept_heads(home: Path) -> dict[str, Link]:
    """The last line of each set as its kept head has it; none for a set without one. OSError or StoreError."""
    folder = home / FOLDER
    if not check_folder(folder):
        return {}
    with locked(folder):
        heads = {stem: read_head(head_path(folder, stem)) for stem in STEMS}
    return {stem: head.last for stem, head in heads.items() if head is not None}


@dataclass(slots=True)
class _Walk:
    stem: str
    anchor: Link
    noted: frozenset[str]
    last: Link | None = None
    lines: int = 0
    torn: int = 0
    torn_at: list[tuple[str, int]] = field(default_factory=list)
    breaks: list[Break] = field(default_factory=list)
    break_count: int = 0
    found: set[str] = field(default_factory=set)
    hashes: dict[int, str] = field(default_factory=dict)  # of the lines that the kept head names
    where: tuple[str, int] = ("", 0)

    def broken(self, what: str, text: str) -> None:
        self.break_count += 1
        if len(self.breaks) < MAX_BREAKS:
            self.breaks.append(Break(what, *self.where, text))

    def take(self, line: bytes, named: Collection[int]) -> None:
        """The next line; `named` are the numbers that the kept head names."""
        fields = fields_of(line)
        if fields is None:
            self.torn += 1
            if len(self.torn_at) < MAX_BREAKS:
                self.torn_at.append(self.where)
            return
        place = place_of(fields)
        if place is None:
            self.broken("inserted", "a line without a place in the chain, where each has one")
            return
        if not self._fits(place):
            return
        self.lines += 1
        self.last = Link(place.n, hash_of(line))
        if place.n in named:
            self.hashes[place.n] = self.last.hash
        if self.last.hash in self.noted:
            self.found.add(self.last.hash)

    def _fits(self, place: ChainedLine) -> bool:
        """Name what does not fit; False for a line that has no place here, and is passed over."""
        before = self.last
        if before is None:
            if place.n <= self.anchor.n:  # a power cut between keeping the anchor and removing the oldest file
                return True
            before = self.anchor
        if place.n <= before.n:
            self.broken("inserted", f"it says that it is line {place.n}, and comes after line {before.n}")
            return False
        if place.n > before.n + 1:
            self.broken("removed", f"lines {before.n + 1} to {place.n - 1} are missing before it")
        elif place.prev != before.hash:
            what = f"line {before.n} is not the one that" if before.n else "it is the first, and"
            self.broken("changed", f"{what} line {place.n} names")
        return True

    def report(self, last: Link) -> ChainReport:
        breaks, found, torn_at = tuple(self.breaks), frozenset(self.found), tuple(self.torn_at)
        return ChainReport(
            self.stem, self.lines, last, self.anchor, self.torn, torn_at, breaks, self.break_count, found
        )


def _verify(folder: Path, stem: str, noted: frozenset[str]) -> ChainReport:
    head = read_head(head_path(folder, stem))
    walk = _Walk(stem, START if head is None else head.anchor, noted)
    named = () if head is None else (head.last.n, head.anchor.n)
    for file, number, line in lines_of_set(folder, stem):
        walk.where = (file, number)
        walk.take(line, named)
    last = walk.last or START
    _compare_begun(walk, folder)
    if head is None:
        if walk.last is not None or head_path(folder, stem).exists():
            walk.broken("head", _MISSING_HEAD)
        return walk.report(last)
    _compare(walk, head, last)
    return walk.report(last)


def _missing(folder: Path, stem: str) -> ChainReport:
    walk = _Walk(stem, START, frozenset())
    _compare_begun(walk, folder)
    return walk.report(START)


def _compare_begun(walk: _Walk, folder: Path) -> None:
    """Whether a chain that began here is still there, and is the first one."""
    begun, path = begun_sets(folder), begun_path(folder)
    if walk.stem in begun and walk.last is None:
        walk.where = (f"{walk.stem}.jsonl", 0)
        walk.broken("cut", f"a chain began here, and no line of it is there ({path.name} beside the folder says so)")
    elif begun.get(walk.stem):
        text = f"the chain that was here was lost, and this one began anew; if you removed it yourself: rm {path}"
        walk.broken("cut", text)


def _compare(walk: _Walk, head: Head, last: Link) -> None:
    """What the kept head tells beyond the lines themselves."""
    if head.last.n > last.n:
        first = max(last.n, head.anchor.n) + 1
        walk.broken("cut", f"lines {first} to {head.last.n} are missing at the end: the kept head has them")
        return
    for link in (head.last, head.anchor):
        if walk.hashes.get(link.n, link.hash) != link.hash:
            walk.broken("changed", f"line {link.n} is not the one that the kept head names")
