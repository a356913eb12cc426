"""The catalogue: ready programs with a version, their wiring and what proves them. Builds and tries nothing.

The patterns whose TOML has a version are shipped. Others are in folders of a person's own, as
FOLDER/NAME/VERSION/NAME.toml with the sources beside it; VERSION is that of the TOML. What is in such a folder was
written by others: names, sizes and forms are checked, links are not followed, and no text becomes code but the source.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final

from msgspec import Struct, ValidationError, convert

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
    parse_version,
    parsed,
)
from microclaw.programs.patterns.expected import Value
from microclaw.programs.patterns.library import (
    LANGUAGES,
    Pattern,
    PatternParameter,
    can_block,
    fill_pattern,
    pattern_of,
)
from microclaw.programs.patterns.wiring import Part, draw, read_wiring
from microclaw.text import MAX_PROGRAM_CHARS, clean_text

SHIPPED: Final = "shipped"
"""The catalogue that comes with microclaw, in the place of a folder."""
MAX_DESCRIPTION_BYTES: Final = 64 << 10
MAX_ENTRIES: Final = 1000
MAX_VERSIONS: Final = 100
MAX_MISTAKES: Final = 50
_NO_ENTRY: Final = "no entry is in it; an entry is NAME/VERSION/NAME.toml, and no link"
KIND_OF: Final[Mapping[str, ProgramKind]] = {"c": "wasm", "py": "py"}


class Entry(Struct, frozen=True):
    """A program of the catalogue. `files` are its description and sources by name; `folder` says whose it is.

    `kinds`: the preferred one first. `missing` says why there is no C or no Python, where it has one of the two.
    """

    name: str
    version: Version
    title: str
    about: str
    app_name: str
    kinds: tuple[ProgramKind, ...]
    missing: str
    parameters: Mapping[str, PatternParameter]
    wiring: tuple[Part, ...]
    files: Mapping[str, bytes]
    folder: str = SHIPPED

    @property
    def version_text(self) -> str:
        """ "1.0.2"."""
        return ".".join(map(str, self.version))

    @property
    def languages(self) -> str:
        """ "C, Python"."""
        return ", ".join(LANGUAGES[kind] for kind in self.kinds)

    def values(self, words: Sequence[str]) -> dict[str, Value]:
        """Read "pin=4". Raises ConfigError; what a value may be is checked when it is put in."""
        found: dict[str, Value] = {}
        for word in words:
            key, is_set, text = (part.strip() for part in word.partition("="))
            parameter = self.parameters.get(key.upper())
            if not is_set or parameter is None:
                known = ", ".join(one.lower() for one in self.parameters) or "none"
                raise ConfigError(
                    f"{word[:60]!r} sets no parameter of {self.name}", next_step=f"its parameters: {known}"
                )
            if parameter.name in found:
                raise ConfigError(f"{key.lower()} is set twice", next_step="give one value")
            try:
                found[parameter.name] = text if parameter.choices else int(text[:20], 0)
            except ValueError as exc:
                example = f"{key.lower()}={parameter.default}"
                raise ConfigError(f"{text[:40]!r} is no whole number", next_step=f"write --set {example}") from exc
        return found

    def fill(self, params: Mapping[str, Value], kind: ProgramKind, *, blocking: bool | None = None) -> Pattern:
        """The program with these values and the defaults; `blocking` as of patterns.library.fill.

        Raises ConfigError for a kind that there is not, and for a wrong value.
        """
        if blocking is None:
            form = can_block()
        else:
            form = blocking
        description = self.files[f"{self.name}.toml"].decode()
        pattern = pattern_of(self.name, description, lambda file: self.files[file].decode(), blocking=form, kind=kind)
        return fill_pattern(pattern, params)

    def diagram(self, params: Mapping[str, Value]) -> str:
        """The wiring, with the pins of these values and of the defaults."""
        defaults = {key: one.default for key, one in self.parameters.items() if one.pin_use}
        return draw(self.wiring, {**defaults, **{key: params[key] for key in defaults if key in params}})


class Catalog:
    """The shipped catalogue and those of `folders`; `only` one of them is looked at where it is given.

    It has the newest version of each entry, and what could not be read.
    """

    def __init__(self, folders: Sequence[Path] = (), *, only: str | None = None) -> None:
        if only in (None, SHIPPED):
            self.entries = list(shipped())
        else:
            self.entries = []
        self.mistakes: list[ConfigError] = []
        for folder in folders if only is None else [Path(only)] if only != SHIPPED else []:
            try:
                self._read(folder.expanduser().absolute())
            except ConfigError as exc:
                if only is not None:
                    raise
                self.mistakes.append(exc)

    def _read(self, folder: Path) -> None:
        """Read a folder, or the work tree of a git checkout, as it is now. Raises ConfigError where it cannot be read.

        Every folder in it that is no entry is a mistake with its reason, hidden ones apart.
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
        """Entries with all of the words in their name, title, description or parts, sorted by name."""
        wanted = [word.lower() for word in words]
        found = [one for one in self.entries if all(word in _text_of(one) for word in wanted)]
        return tuple(sorted(found, key=lambda one: (one.name, one.folder)))

    def find(self, name: str) -> Entry:
        """The one entry of that name. UnknownName says which there are; ConfigError: several catalogues have it."""
        found = [one for one in self.entries if one.name == name]
        if not found:
            broken = [one for one in self.mistakes if f"/{name}/" in one.message or f"/{name}:" in one.message]
            if broken:
                raise broken[0]
            names = sorted({one.name for one in self.entries})
            known = ", ".join(names[:30]) or "none"
            raise UnknownName(f"no entry of the catalogue is named {name[:63]!r}", next_step=f"entries: {known}")
        if len(found) > 1:
            folders = " or ".join(f"--from {one.folder}" for one in found)
            raise ConfigError(f"{len(found)} catalogues have {name}", next_step=f"give {folders}")
        return found[0]

    def newest(self, name: str, folder: str) -> Entry | None:
        """The entry in the catalogue that it came from; None where that has it no more, or is not looked at."""
        return next((one for one in self.entries if (one.name, one.folder) == (name, folder)), None)


@cache
def shipped() -> tuple[Entry, ...]:
    """The catalogue that comes with microclaw."""
    folder = resources.files(__package__)

    def read(file: str) -> bytes:
        return (folder / (f"micropython/{file}" if file.endswith(".py") else file)).read_bytes()

    names = sorted(one.name.removesuffix(".toml") for one in folder.iterdir() if one.name.endswith(".toml"))
    entries = [name for name in names if "version" in tomllib.loads(read(f"{name}.toml").decode())]
    return tuple(_entry(name, read, f"patterns/{name}.toml", SHIPPED) for name in entries)


def _newest(folder: Path, shelf: str) -> Entry:
    """The newest version of an entry. Links are not followed."""
    rows = _rows_in(folder, MAX_VERSIONS)
    versions = [row.name for row in rows if VERSION.fullmatch(row.name) and row.is_dir(follow_symlinks=False)]
    if not versions:
        raise EntryMistake(str(folder), _NO_ENTRY)
    version = max(versions, key=parse_version)
    place = folder / version
    shown = str(folder / version / f"{folder.name}.toml")
    entry = _entry(folder.name, lambda file: _read_file(place / file), shown, shelf)
    if entry.version_text != version:
        raise EntryMistake(shown, f"version is {entry.version_text}, its folder says {version}")
    return entry


def _rows_in(folder: Path, most: int) -> list[os.DirEntry[str]]:
    """The folders and descriptions in a folder, by name, none hidden. Raises ConfigError for too many."""
    found: list[os.DirEntry[str]] = []
    try:
        with os.scandir(folder) as rows:
            for row in rows:
                if not row.name.startswith(".") and (row.is_dir() or row.name.endswith(".toml")):
                    found.append(row)
                if len(found) > most:
                    raise ConfigError(f"{folder} has more than {most} folders", next_step="take old ones away")
    except OSError as exc:
        raise ConfigError(f"cannot read {folder}: {exc.strerror}", next_step="give a catalogue's folder") from exc
    return sorted(found, key=lambda row: row.name)


def _read_file(path: Path) -> bytes:
    if path.suffix == ".toml":
        most = MAX_DESCRIPTION_BYTES
    else:
        most = 4 * MAX_PROGRAM_CHARS
    try:
        with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
            content = file.read(most + 1)
    except OSError as exc:
        raise EntryMistake(str(path), f"cannot be read: {exc.strerror}") from exc
    except StoreError as exc:
        raise EntryMistake(str(path), "is a link, a pipe, a device or a folder, and not a file") from exc
    if len(content) > most:
        raise EntryMistake(str(path), f"has more than {most:,} bytes")
    return content


def _entry(name: str, read: Callable[[str], bytes], shown: str, shelf: str) -> Entry:
    """Read and check the description, then the sources that it names."""
    content = read(f"{name}.toml")
    text, data = parsed(content, shown)
    try:
        form = convert(data, EntryDescription)
        files = {f"{name}.toml": content}
        parameters = dict[str, PatternParameter]()
        for file in form.files(name):
            files[file] = read(file)
            check_source(files[file])
        wiring = read_wiring(form.wiring, [key for key, row in form.parameters.items() if row.get("type") == "pin"])
        for kind in form.kinds:
            for blocking in (True, False):  # each source has to have all of them
                pattern = pattern_of(name, text, lambda one: files[one].decode(), blocking=blocking, kind=kind)
                parameters = {**pattern.parameters}
    except EntryMistake:
        raise
    except (ConfigError, ValueError, ValidationError) as exc:
        if isinstance(exc, ConfigError):
            why = exc.message
        else:
            why = str(exc)
        raise EntryMistake(shown, why, line_of(text, why)) from exc
    version = parse_version(form.version)
    texts = (form.title, form.about, form.missing or "")
    title, about, missing = (clean_text(" ".join(one.split()), one_line=True) for one in texts)
    return Entry(name, version, title, about, form.app, form.kinds, missing, parameters, wiring, files, shelf)


def _text_of(entry: Entry) -> str:
    parts = " ".join(part.name for part in entry.wiring)
    return f"{entry.name} {entry.title} {entry.about} {parts}".lower()
