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
from microclaw.programs.patterns.wiring import CatalogPart

if TYPE_CHECKING:
    from microclaw.host.config.settings import Settings


def folders_of(settings: Settings) -> list[Path]:
    """Return the user's catalogue folders, which are read besides the shipped catalogue."""
    return [Path(folder).expanduser() for folder in settings.catalog.folders]


_NAMES: Final = {"version_text": "version", "app_name": "app", "folder": "catalog"}


class EntryFacts(Result, frozen=True, kw_only=True, rename=_NAMES):
    """The facts of an entry.

    `app` is the program's name on a board, `missing` why it has no C or no Python, `catalog` its folder.
    """

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
    wiring: tuple[CatalogPart, ...]


class EntryList(Listing, frozen=True, kw_only=True):
    """Entries of the catalogues. `mistakes` says which files could not be read."""

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
    """An entry with the given values and the defaults. `expect` is for its trial, `sources` are by their files."""

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
        for name, value, allowed, title in parameter_rows(self.parameters, self.values):
            yield f"{name} = {value}  ({allowed}): {title}"
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
        return any(catalog != SHIPPED for catalog in self.catalogs)


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
    catalogs = Catalog(folders, only=catalog)
    entries = [filled(EntryFacts, entry) for entry in catalogs.search(words.split())]
    mistakes = [mistake.message for mistake in catalogs.mistakes]
    return EntryList(entries=entries, mistakes=mistakes)


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
    kinds: tuple[ProgramKind, ...] = ()
    if source:
        kinds = entry.kinds
    return _entry_with_values(entry, sets or (), kinds, blocking=True)


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
    """List the ready, tried programs (blink, thermostat, ...), or show one with wiring, expectations and source."""
    catalogs = await asyncio.to_thread(Catalog, folders)
    if name is not None:
        entry = catalogs.find(name)
        kind = entry.kinds[0]
        if language is not None:
            kind = KIND_OF[language]
        result = _entry_with_values(entry, (), (kind,), blocking=None)
        return FoundEntries(entries=[], entry=result, catalogs=(entry.folder,))
    rows = []
    entry_catalogs = set()
    for entry in catalogs.search((words or "").split()):
        rows.append((entry.name, entry.title, entry.languages))
        entry_catalogs.add(entry.folder)
    return FoundEntries(entries=rows, mistakes=len(catalogs.mistakes), catalogs=tuple(entry_catalogs))


def _entry_with_values(
    entry: Entry, sets: Sequence[str], kinds: Sequence[ProgramKind], *, blocking: bool | None
) -> OneEntry:
    """Return the entry with these values, and with its sources of these kinds."""
    values = entry.values(sets)
    programs = [entry.fill(values, kind, blocking=blocking) for kind in kinds or entry.kinds[:1]]
    sources = {}
    if kinds:
        sources = {program.file: program.source for program in programs}
    return filled(
        OneEntry,
        entry,
        values=values,
        diagram=entry.diagram(values),
        expect=programs[0].expect,
        sources=sources,
    )


def parameter_rows(
    parameters: Mapping[str, PatternParameter], values: Mapping[str, str | int]
) -> Iterable[tuple[str, str, str, str]]:
    """Yield the name, value, range and meaning of each parameter, with the unit."""
    for parameter in parameters.values():
        unit = ""
        if parameter.unit:
            unit = f" {parameter.unit}"
        if parameter.choices:
            allowed = ", ".join(parameter.choices)
        elif parameter.pin_use:
            allowed = "a pin"
        elif parameter.form:
            allowed = f"a {parameter.form}"
        else:
            allowed = f"{parameter.min} to {parameter.max}{unit}"
        value = values.get(parameter.name, parameter.default)
        yield parameter.name.lower(), f"{value}{unit}", allowed, parameter.title
