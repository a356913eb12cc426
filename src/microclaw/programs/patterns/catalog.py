"""The catalogue: ready programs with a version, their wiring and what proves them. Builds and tries nothing.

The patterns whose TOML has a version are shipped. Others are in a user's own folders, as FOLDER/NAME/VERSION/NAME.toml
with the sources beside it; VERSION is that of the TOML. Other people wrote these files: names, sizes and forms are
checked, links are not followed, and only the source becomes code.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from msgspec import Struct, ValidationError

from microclaw.conversion import convert
from microclaw.durable import open_regular
from microclaw.errors import ConfigError, StoreError, UnknownName
from microclaw.events import ProgramKind
from microclaw.programs.patterns.entry_form import (
    NAME,
    VERSION,
    EntryDescription,
    EntryMistake,
    Version,
    check_source,
    line_of,
    parse_description,
    parse_version,
)
from microclaw.programs.patterns.expected import Value
from microclaw.programs.patterns.library import (
    LANGUAGES,
    Pattern,
    PatternParameter,
    can_block,
    fill_pattern,
    pattern_names,
    pattern_of,
    read_shipped,
)
from microclaw.programs.patterns.wiring import CatalogPart, draw, read_wiring
from microclaw.text import MAX_PROGRAM_CHARS, clean_text

SHIPPED: Final = "shipped"
"""The name of the catalogue that comes with microclaw, which has no folder of a user."""
MAX_DESCRIPTION_BYTES: Final = 64 << 10
MAX_ENTRIES: Final = 1000
MAX_VERSIONS: Final = 100
MAX_MISTAKES: Final = 50
_NO_ENTRY: Final = "no entry is in it; an entry is NAME/VERSION/NAME.toml, and no link"
KIND_OF: Final[Mapping[str, ProgramKind]] = {"c": "wasm", "py": "py"}


class Entry(Struct, frozen=True):
    """A program of the catalogue. `files` are its description and sources by name; `folder` is its catalogue.

    `kinds`: the preferred kind is first. `missing` says why there is no C or no Python, if it has only one of them.
    """

    name: str
    version: Version
    title: str
    about: str
    app_name: str
    kinds: tuple[ProgramKind, ...]
    missing: str
    parameters: Mapping[str, PatternParameter]
    wiring: tuple[CatalogPart, ...]
    files: Mapping[str, bytes]
    folder: str = SHIPPED

    @property
    def version_text(self) -> str:
        """The version as text: "1.0.2"."""
        return ".".join(map(str, self.version))

    @property
    def languages(self) -> str:
        """The languages of its programs: "C, Python"."""
        return ", ".join(LANGUAGES[kind] for kind in self.kinds)

    def values(self, words: Sequence[str]) -> dict[str, Value]:
        """Parse words like "pin=4". Raises ConfigError; `fill` checks if a parameter may have the value."""
        values: dict[str, Value] = {}
        for word in words:
            key, is_set, text = map(str.strip, word.partition("="))
            parameter = self.parameters.get(key.upper())
            if not is_set or parameter is None:
                known = ", ".join(self.parameters).lower() or "none"
                problem = f"{word[:60]!r} sets no parameter of {self.name}"
                raise ConfigError(problem, next_step=f"its parameters: {known}")
            if parameter.name in values:
                raise ConfigError(f"{key.lower()} is set twice", next_step="give one value")
            values[parameter.name] = _parse_value(parameter, text)
        return values

    def fill(self, params: Mapping[str, Value], kind: ProgramKind, *, blocking: bool | None = None) -> Pattern:
        """Return the program with these values and the defaults; `blocking` is as for patterns.library.fill.

        Raises ConfigError for a kind that the entry lacks, and for a wrong value.
        """
        if blocking is None:
            blocking = can_block()
        description = self.files[f"{self.name}.toml"].decode()
        pattern = pattern_of(self.name, description, self._source, blocking=blocking, kind=kind)
        return fill_pattern(pattern, params)

    def diagram(self, params: Mapping[str, Value]) -> str:
        """Draw the wiring with the pins of these values and of the defaults."""
        pins: dict[str, Value] = {}
        for name, parameter in self.parameters.items():
            if parameter.pin_use:
                pins[name] = params.get(name, parameter.default)
        return draw(self.wiring, pins)

    def _source(self, file: str) -> str:
        return self.files[file].decode()


def _parse_value(parameter: PatternParameter, text: str) -> Value:
    """Return the word or the number of a parameter. Raises ConfigError."""
    if parameter.choices or parameter.form:
        return text
    try:
        return int(text[:20], 0)
    except ValueError as exc:
        example = f"{parameter.name.lower()}={parameter.default}"
        raise ConfigError(f"{text[:40]!r} is no whole number", next_step=f"write --set {example}") from exc


class Catalog:
    """The shipped catalogue and those of `folders`, or `only` one of them.

    It has the newest version of each entry, and a mistake for each file that could not be read.
    """

    def __init__(self, folders: Sequence[Path] = (), *, only: str | None = None) -> None:
        self.entries: list[Entry] = []
        self.mistakes: list[ConfigError] = []
        if only in (None, SHIPPED):
            self.entries += shipped()
        if only == SHIPPED:
            folders = ()
        elif only is not None:
            folders = (Path(only),)
        for folder in folders:
            try:
                self._read(folder.expanduser().absolute())
            except ConfigError as exc:
                if only is not None:
                    raise
                self.mistakes.append(exc)

    def _read(self, folder: Path) -> None:
        """Read a folder, or the work tree of a git checkout, as it is now. Raises ConfigError if it cannot be read.

        Every folder in it that is no entry is a mistake with its reason, except hidden folders.
        """
        rows = _rows_in(folder, MAX_ENTRIES)
        mistakes = list[ConfigError]()
        for row in rows:
            try:
                if not (row.is_dir(follow_symlinks=False) and NAME.fullmatch(row.name)):
                    raise EntryMistake(row.path, _NO_ENTRY)
                self.entries.append(_newest(Path(row.path), str(folder)))
            except ConfigError as exc:
                mistakes.append(exc)
        if not rows:
            mistakes.append(EntryMistake(str(folder), _NO_ENTRY))
        if len(mistakes) > MAX_MISTAKES:
            mistakes[MAX_MISTAKES:] = [EntryMistake(str(folder), f"{len(mistakes) - MAX_MISTAKES:,} more mistakes")]
        self.mistakes += mistakes

    def search(self, words: Sequence[str]) -> tuple[Entry, ...]:
        """Return the entries with all of the words in their name, title, description or parts, sorted by name."""
        lower_words = [word.lower() for word in words]
        entries = []
        for entry in self.entries:
            text = _text_of(entry)
            if all(word in text for word in lower_words):
                entries.append(entry)
        return tuple(sorted(entries, key=lambda entry: (entry.name, entry.folder)))

    def find(self, name: str) -> Entry:
        """Return the entry of that name.

        Raises UnknownName with the known names, and ConfigError if several catalogues have it or it cannot be read.
        """
        entries = [entry for entry in self.entries if entry.name == name]
        if not entries:
            raise self._missing(name)
        if len(entries) > 1:
            folders = " or ".join(f"--from {entry.folder}" for entry in entries)
            raise ConfigError(f"{len(entries)} catalogues have {name}", next_step=f"give {folders}")
        return entries[0]

    def _missing(self, name: str) -> ConfigError | UnknownName:
        """Return the reason why there is no entry of that name."""
        for mistake in self.mistakes:
            if f"/{name}/" in mistake.message or f"/{name}:" in mistake.message:
                return mistake
        names = sorted({entry.name for entry in self.entries})
        known = ", ".join(names[:30]) or "none"
        return UnknownName(f"no entry of the catalogue is named {name[:63]!r}", next_step=f"entries: {known}")

    def newest(self, name: str, folder: str) -> Entry | None:
        """Return the entry of the catalogue that it came from, or None if that catalogue lacks it or was not read."""
        for entry in self.entries:
            if entry.name == name and entry.folder == folder:
                return entry
        return None


@cache
def shipped() -> tuple[Entry, ...]:
    """Return the catalogue that comes with microclaw."""
    entries = []
    for name in pattern_names():
        file = f"{name}.toml"
        if "version" in tomllib.loads(read_shipped(file).decode()):
            entries.append(_read_entry(name, read_shipped, f"patterns/{file}", SHIPPED))
    return tuple(entries)


def _newest(folder: Path, catalog: str) -> Entry:
    """Return the newest version of an entry. Links are not followed."""
    versions = []
    for row in _rows_in(folder, MAX_VERSIONS):
        if VERSION.fullmatch(row.name) and row.is_dir(follow_symlinks=False):
            versions.append(row.name)
    if not versions:
        raise EntryMistake(str(folder), _NO_ENTRY)
    version = max(versions, key=parse_version)
    version_folder = folder / version
    path = str(version_folder / f"{folder.name}.toml")
    entry = _read_entry(folder.name, lambda file: _read_file(version_folder / file), path, catalog)
    if entry.version_text != version:
        raise EntryMistake(path, f"version is {entry.version_text}, its folder says {version}")
    return entry


def _rows_in(folder: Path, limit: int) -> list[os.DirEntry[str]]:
    """Return the folders and descriptions in a folder, by name, without hidden ones.

    Raises ConfigError if there are more than `limit`, or if the folder cannot be read.
    """
    shown_rows: list[os.DirEntry[str]] = []
    try:
        with os.scandir(folder) as rows:
            for row in rows:
                is_wanted = row.is_dir() or row.name.endswith(".toml")
                if is_wanted and not row.name.startswith("."):
                    shown_rows.append(row)
                if len(shown_rows) > limit:
                    raise ConfigError(f"{folder} has more than {limit} folders", next_step="take old ones away")
    except OSError as exc:
        raise ConfigError(f"cannot read {folder}: {exc.strerror}", next_step="give a catalogue's folder") from exc
    return sorted(shown_rows, key=lambda row: row.name)


def _read_file(path: Path) -> bytes:
    """Return the content of a regular file. Raises EntryMistake if it cannot be read or is too long."""
    limit = 4 * MAX_PROGRAM_CHARS
    if path.suffix == ".toml":
        limit = MAX_DESCRIPTION_BYTES
    try:
        with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
            content = file.read(limit + 1)
    except OSError as exc:
        raise EntryMistake(str(path), f"cannot be read: {exc.strerror}") from exc
    except StoreError as exc:
        raise EntryMistake(str(path), "is a link, a pipe, a device or a folder, and not a file") from exc
    if len(content) > limit:
        raise EntryMistake(str(path), f"has more than {limit:,} bytes")
    return content


def _read_entry(name: str, read: Callable[[str], bytes], path: str, catalog: str) -> Entry:
    """Read and check a description, then the sources that it names. Raises EntryMistake."""
    description = read(f"{name}.toml")
    text, table = parse_description(description, path)
    try:
        form = convert(table, EntryDescription)
        files = {f"{name}.toml": description}
        for file in form.files(name):
            files[file] = read(file)
            check_source(files[file])
        pins = [key for key, row in form.parameters.items() if row.get("type") == "pin"]
        wiring = read_wiring(form.wiring, pins)
        parameters = _read_parameters(name, form, text, files)
    except EntryMistake:
        raise
    except ConfigError as exc:
        raise EntryMistake(path, exc.message, line_of(text, exc.message)) from exc
    except (ValueError, ValidationError) as exc:
        raise EntryMistake(path, str(exc), line_of(text, str(exc))) from exc
    return Entry(
        name=name,
        version=parse_version(form.version),
        title=_one_line(form.title),
        about=_one_line(form.about),
        app_name=form.app,
        kinds=form.kinds,
        missing=_one_line(form.missing or ""),
        parameters=parameters,
        wiring=wiring,
        files=files,
        folder=catalog,
    )


def _read_parameters(
    name: str, form: EntryDescription, text: str, files: Mapping[str, bytes]
) -> Mapping[str, PatternParameter]:
    """Return the parameters, which each of the entry's sources must have. Raises ConfigError."""
    parameters: Mapping[str, PatternParameter] = {}
    for kind in form.kinds:
        for blocking in (True, False):
            pattern = pattern_of(name, text, lambda file: files[file].decode(), blocking=blocking, kind=kind)
            parameters = pattern.parameters
    return parameters


def _one_line(text: str) -> str:
    return clean_text(" ".join(text.split()), one_line=True)


def _text_of(entry: Entry) -> str:
    """Return the text in which words are searched."""
    parts = " ".join(part.name for part in entry.wiring)
    return f"{entry.name} {entry.title} {entry.about} {parts}".lower()
