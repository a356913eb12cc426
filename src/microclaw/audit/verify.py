"""Follows the chain of each set of files and names the lines that do not hold. It changes nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from microclaw.audit.chain import START, Head, Link, fields_of, hash_of, named_by
from microclaw.audit.files import BEGUN, FOLDER, STEMS, begun_sets, lines_of_set, locked, read_head


@dataclass(frozen=True, slots=True)
class Break:
    """`what`: changed, removed, inserted, cut or head. `line` (from 1 on) of `file` is where it shows."""

    what: str
    text: str
    file: str
    line: int


@dataclass(slots=True)
class ChainReport:
    """One set of files. `torn`: file and number of lines without an event. `found`: noted hashes that a line has."""

    stem: str
    anchor: Link
    last: Link = START
    lines: int = 0
    torn: list[tuple[str, int]] = field(default_factory=list)
    breaks: list[Break] = field(default_factory=list)
    found: set[str] = field(default_factory=set)

    @property
    def whole(self) -> bool:
        return not self.breaks


def verify_chains(home: Path, noted: Collection[str] = ()) -> list[ChainReport]:
    """Follow each set's chain; `noted` are hashes to look for. Writers wait meanwhile. OSError or StoreError."""
    folder = home / FOLDER
    with locked(folder) if folder.is_dir() else nullcontext():
        begun = begun_sets(folder)
        sets = [(stem, lines_of_set(folder, stem), read_head(folder, stem)) for stem in STEMS]
        return [follow(stem, lines, head, noted, begun.get(stem)) for stem, lines, head in sets]


def kept_heads(home: Path) -> dict[str, Link]:
    """The last line of each set that has one. OSError or StoreError."""
    heads = {stem: read_head(home / FOLDER, stem) for stem in STEMS}
    return {stem: head.last for stem, head in heads.items() if head is not None}


def follow(
    stem: str,
    lines: Iterable[tuple[str, int, bytes]],
    head: Head | None,
    noted: Collection[str] = (),
    begun_again: bool | None = None,
) -> ChainReport:
    """A set's lines, each with its file and number, oldest first. `begun_again` is None where no chain began."""
    report = ChainReport(stem, START if head is None else head.anchor)
    anchor, place = report.anchor, (f"{stem}.jsonl", 0)

    def broken(what: str, text: str) -> None:
        report.breaks.append(Break(what, text, *place))

    for file, number, line in lines:
        place = (file, number)
        if (fields := fields_of(line)) is None:
            report.torn.append(place)
            continue
        named, before = named_by(fields), report.last if report.lines else anchor
        n = 0 if named is None else named.n + 1
        # A power cut between keeping the anchor and removing the oldest file leaves lines before the anchor.
        if named is None or (n <= before.n and report.lines):
            broken("inserted", f"line {n or 'without a place'} comes after line {before.n}")
            continue
        if n > before.n + 1:
            broken("removed", f"lines {before.n + 1} to {n - 1} are missing before it")
        elif n > before.n and named != before:
            broken("changed", f"line {before.n} is not the one that line {n} names")
        report.last, report.lines = Link(n, hash_of(line)), report.lines + 1
        if head is not None and any(kept.n == n and kept != report.last for kept in (head.last, anchor)):
            broken("changed", f"line {n} is not the one that the kept head names")
        report.found |= {report.last.hash} & set(noted)
    if begun_again is not None and not report.lines:
        broken("cut", f"a chain began here and is gone ({BEGUN})")
    elif begun_again:
        broken("cut", f"the chain before was lost; if you removed it: rm {BEGUN}")
    if head is None and report.lines:
        broken("head", "the kept head is missing or unreadable")
    elif head is not None and head.last.n > report.last.n:
        broken("cut", f"lines {max(report.last.n, anchor.n) + 1} to {head.last.n} are missing at the end")
    return report
