"""The acts of the catalogue that need no host: what there is, and one entry with its values. It builds nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, TypeAlias

from msgspec import Meta

from microclaw.events import ProgramKind
from microclaw.host.operations.forms import NO_COMMAND, CommandForm, ToolForm
from microclaw.host.operations.operation import OperationCall, Option, operation
from microclaw.host.operations.result import Listing, Result, filled
from microclaw.programs.patterns.catalog import KIND_OF, SHIPPED, Catalog, Entry
from microclaw.programs.patterns.library import PatternParameter
from microclaw.programs.patterns.wiring import Part

if TYPE_CHECKING:
    from microclaw.host.config.settings import Settings


def folders_of(settings: Settings) -> list[Path]:
    """The folders that are looked at beside the shipped catalogue: what these acts work with."""
    return [Path(one).expanduser() for one in settings.catalog.folders]


_NAMES: Final = {"version_text": "version", "app_name": "app", "folder": "catalog"}


class EntryFacts(Result, frozen=True, kw_only=True, rename=_NAMES):
    """`app`: the program's name on a board; `missing`: why there is no C, or no Python; `catalog`: its folder."""

    name: str
    version_text: str
    title: str
    about: str
    app_name: str
    kinds: tuple[str, ...]
    languages: str
    missing: str
    folder: str
    parameters: dict[str, PatternParameter]
    wiring: tuple[Part, ...]


class EntryList(Listing, frozen=True, kw_only=True):
    """`mistakes`: what could not be read."""

    document: ClassVar = "catalog"
    columns: ClassVar = {
        "NAME": "name",
        "VERSION": "version_text",
        "IN": "languages",
        "WHAT": "title",
        "FROM": "folder",
    }
    empty: ClassVar = "no entry has all of these words"

    entries: list[EntryFacts]
    mistakes: list[str]

    @property
    def warning(self) -> str:
        return "\ncareful: ".join(self.mistakes)


class OneEntry(EntryFacts, frozen=True, kw_only=True, rename=_NAMES):
    """With the given values and the defaults; `expect` is what its trial has to show, `sources` are by their files."""

    document: ClassVar = "catalog-entry"

    values: dict[str, str | int]
    diagram: str
    expect: str
    sources: dict[str, str]

    def lines(self) -> Iterable[str]:
        yield f"{self.name} {self.version_text}: {self.title} ({self.languages}; {self.folder})"
        yield self.about
        if self.missing:
            yield f"In {self.languages} alone: {self.missing}."
        yield ""
        for name, value, may_be, title in parameter_rows(self.parameters, self.values):
            yield f"{name} = {value}  ({may_be}): {title}"
        yield from ("", self.diagram, "", "What its trial has to show (docs/proof.md):", self.expect.rstrip("\n"))
        for file, source in self.sources.items():
            yield f"\n{file}\n{source}"


class FoundEntries(Result, frozen=True, kw_only=True):
    """The entries with these words, or the one of that name."""

    entries: list[tuple[str, str, str]]
    mistakes: int = 0
    entry: OneEntry | None = None
    catalogs: tuple[str, ...] = ()

    @property
    def is_foreign(self) -> bool:
        return any(one != SHIPPED for one in self.catalogs)


From: TypeAlias = Annotated[
    str | None,
    Meta(description=f"This catalogue alone: a folder, a git checkout, or {SHIPPED}."),
    Option("--from", metavar="DIR"),
]


@operation("catalog.search", here=folders_of)
async def search(
    folders: Sequence[Path],
    _: OperationCall,
    words: Annotated[
        str, Meta(description="All of them are in what is found; none: all."), Option(rest=True, metavar="WORDS")
    ] = "",
    catalog: From = None,
) -> EntryList:
    """Find entries by words of their names, titles, descriptions and parts."""
    found = Catalog(folders, only=catalog)
    entries = [filled(EntryFacts, one) for one in found.search(words.split())]
    return EntryList(entries=entries, mistakes=[one.message for one in found.mistakes])


@operation("catalog.show", here=folders_of, command=CommandForm("search"))
async def show(
    folders: Sequence[Path],
    _: OperationCall,
    name: Annotated[str, Meta(max_length=64, description="The entry's name."), Option("--show", metavar="NAME")],
    sets: Annotated[
        list[str] | None,
        Meta(description="A parameter, as pin=4; may repeat."),
        Option("--set", metavar="NAME=VALUE"),
    ] = None,
    source: Annotated[bool, Meta(description="Also its programs.")] = False,
    catalog: From = None,
) -> OneEntry:
    """Show an entry: what it does, its parameters, how it is wired, what proves it."""
    entry = Catalog(folders, only=catalog).find(name)
    return _shown(entry, sets or (), entry.kinds if source else (), blocking=True)


@operation("catalog.look", tool=ToolForm("catalog"), command=NO_COMMAND)
async def look(
    folders: Sequence[Path],
    _: OperationCall,
    name: Annotated[
        str | None, Meta(max_length=64, description="One entry, with wiring, expectations and source.")
    ] = None,
    words: Annotated[str | None, Meta(max_length=200, description="Only entries with all of these words.")] = None,
    language: Annotated[Literal["c", "py"] | None, Meta(description="Of the source.")] = None,
) -> FoundEntries:
    """The ready, tried programs that this host knows (blink, thermostat, door sensor, ...): a list, or one with its
    wiring, its expectations and its source to start from."""
    known = await asyncio.to_thread(Catalog, folders)
    if name is not None:
        entry = known.find(name)
        if language is None:
            kind = entry.kinds[0]
        else:
            kind = KIND_OF[language]
        shown = _shown(entry, (), (kind,), blocking=None)
        return FoundEntries(entries=[], entry=shown, catalogs=(entry.folder,))
    found = known.search((words or "").split())
    return FoundEntries(
        entries=[(one.name, one.title, one.languages) for one in found],
        mistakes=len(known.mistakes),
        catalogs=tuple({one.folder for one in found}),
    )


def _shown(entry: Entry, sets: Sequence[str], kinds: Sequence[ProgramKind], *, blocking: bool | None) -> OneEntry:
    values = entry.values(sets)
    programs = [entry.fill(values, kind, blocking=blocking) for kind in kinds or entry.kinds[:1]]
    sources = {one.file: one.source for one in programs if kinds}
    diagram = entry.diagram(values)
    expect = programs[0].expect
    return filled(OneEntry, entry, values=values, diagram=diagram, expect=expect, sources=sources)


def parameter_rows(
    parameters: Mapping[str, PatternParameter], values: Mapping[str, str | int]
) -> Iterable[tuple[str, str, str, str]]:
    """Name, value, range and meaning of each, with the unit."""
    for one in parameters.values():
        if one.unit:
            unit = f" {one.unit}"
        else:
            unit = ""
        if one.choices:
            may_be = ", ".join(one.choices)
        elif one.pin_use:
            may_be = "a pin"
        else:
            may_be = f"{one.min} to {one.max}{unit}"
        yield one.name.lower(), f"{values.get(one.name, one.default)}{unit}", may_be, one.title
