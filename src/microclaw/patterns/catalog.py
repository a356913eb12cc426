"""The catalogue: ready programs with a version, their wiring and what proves them. Builds and tries nothing.

The patterns whose TOML has a version are shipped. Others are in folders of a person's own, as
FOLDER/NAME/VERSION/NAME.toml with the sources beside it; VERSION is that of the TOML. What is in such a folder was
written by others: names, sizes and forms are checked, links are not followed, and no text becomes code but the source.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final, TypeAlias, get_args

from microclaw.config.settings import Limits
from microclaw.durable import open_regular
from microclaw.errors import ConfigError, StoreError, UnknownName
from microclaw.events import ProgramKind
from microclaw.patterns.expected import Value
from microclaw.patterns.library import Parameter, Program, can_block, fill_pattern, pattern_of
from microclaw.patterns.wiring import Part, draw, read_wiring
from microclaw.text import clean_text

Version: TypeAlias = tuple[int, int, int]
SHIPPED: Final = "shipped"
"""The catalogue that comes with microclaw, in the place of a folder."""
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
"""Of an entry: as of a program."""
VERSION: Final = re.compile(r"(0|[1-9]\d{0,4})\.(0|[1-9]\d{0,4})\.(0|[1-9]\d{0,4})")
MAX_DESCRIPTION_BYTES: Final = 64 << 10
MAX_ENTRIES: Final = 1000
MAX_VERSIONS: Final = 100
MAX_PARAMETERS: Final = 32
MAX_LINE_CHARS: Final = 500
MAX_EXPECT_CHARS: Final = 8000
KINDS: Final = get_args(ProgramKind)
LANGUAGES: Final[Mapping[ProgramKind, str]] = {"wasm": "C", "py": "Python"}
_LONGEST: Final = {"title": 80, "about": 1000, "missing": 300}
_KEYS: Final = frozenset(
    ("title", "about", "app", "version", "kinds", "missing", "source", "events", "expect", "parameters", "wiring")
)
_C_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}\.(?:c|cpp|ino)")
_PARAMETER = re.compile(r"[A-Z][A-Z0-9_]{0,31}")
_ROW_KEYS: Final = frozenset(("title", "type", "use", "min", "max", "unit", "choices", "default"))
_DEEP = re.compile(r"""(?:(?<![\w-])[\w-]++[ \t]*+\.[ \t]*+|(?:"[^"\n]*"|'[^'\n]*')[ \t]*+\.[ \t]*+){16}""")
_AT_LINE = re.compile(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", re.DOTALL)


class EntryMistake(ConfigError):
    """What is wrong with an entry, with its file and line."""

    def __init__(self, file: str, text: str, line: int | None = None) -> None:
        place = file if line is None else f"{file}:{line}"
        super().__init__(clean_text(f"{place}: {text}", one_line=True), next_step="docs/catalog.md has the form")


@dataclass(frozen=True, slots=True)
class Entry:
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
    parameters: Mapping[str, Parameter]
    wiring: tuple[Part, ...]
    files: Mapping[str, bytes]
    folder: str = SHIPPED

    @property
    def version_text(self) -> str:
        """ "1.0.2"."""
        return ".".join(map(str, self.version))

    def fill(self, params: Mapping[str, Value], kind: ProgramKind, *, blocking: bool | None = None) -> Program:
        """The program with these values and the defaults; `blocking` as of patterns.library.load_pattern.

        Raises ConfigError for a kind that there is not, and for a wrong value.
        """
        if kind not in self.kinds:
            raise ConfigError(f"{self.name} has no program in {LANGUAGES[kind]}: {self.missing}")
        form = can_block() if blocking is None else blocking
        description = _decoded(self.files[f"{self.name}.toml"])
        pattern = pattern_of(self.name, description, lambda file: _decoded(self.files[file]), blocking=form, kind=kind)
        return fill_pattern(pattern, params, kind=kind)

    def sources(self, kind: ProgramKind) -> tuple[bool, ...]:
        """The values of `blocking` that give different programs of a kind."""
        if kind == "py":
            return (True,)
        return (True, False) if "events" in tomllib.loads(_decoded(self.files[f"{self.name}.toml"])) else (True,)

    def diagram(self, params: Mapping[str, Value]) -> str:
        """What is to be wired, with the pins of these values and of the defaults."""
        defaults = {key: one.default for key, one in self.parameters.items() if one.pin_use}
        return draw(self.wiring, {**defaults, **{key: params[key] for key in defaults if key in params}})


@dataclass(frozen=True, slots=True)
class Shelf:
    """The newest version of each entry of one folder, by name, and what could not be read."""

    folder: str
    entries: tuple[Entry, ...]
    mistakes: tuple[ConfigError, ...] = ()


class Catalog:
    """The shipped catalogue and those of `folders`; `only` one of them is looked at where it is given."""

    def __init__(self, folders: Sequence[Path] = (), *, only: str | None = None) -> None:
        places = [SHIPPED, *(str(folder) for folder in folders)] if only is None else [only]
        self.shelves = tuple(_shelf(place, must_be=only is not None) for place in places)

    @property
    def mistakes(self) -> tuple[ConfigError, ...]:
        return tuple(mistake for shelf in self.shelves for mistake in shelf.mistakes)

    def search(self, words: Sequence[str]) -> tuple[Entry, ...]:
        """Entries with all of the words in their name, title, description or parts, sorted by name."""
        wanted = [word.lower() for word in words]
        found = [
            one for shelf in self.shelves for one in shelf.entries if all(word in _text_of(one) for word in wanted)
        ]
        return tuple(sorted(found, key=lambda one: (one.name, one.folder)))

    def find(self, name: str) -> Entry:
        """The one entry of that name. UnknownName says which there are; ConfigError: several catalogues have it."""
        found = [one for shelf in self.shelves for one in shelf.entries if one.name == name]
        if not found:
            broken = [one for one in self.mistakes if f"/{name}/" in one.message]
            if broken:
                raise broken[0]
            names = sorted({one.name for shelf in self.shelves for one in shelf.entries})
            known = ", ".join(names[:30]) or "none"
            raise UnknownName(f"no entry of the catalogue is named {name[:63]!r}", next_step=f"entries: {known}")
        if len(found) > 1:
            folders = " or ".join(f"--from {one.folder}" for one in found)
            raise ConfigError(f"{len(found)} catalogues have {name}", next_step=f"give {folders}")
        return found[0]

    def newest(self, name: str, folder: str) -> Entry | None:
        """The entry in the catalogue that it came from; None where that has it no more, or is not looked at."""
        entries = (one for shelf in self.shelves if shelf.folder == folder for one in shelf.entries)
        return next((one for one in entries if one.name == name), None)


def _shelf(place: str, *, must_be: bool) -> Shelf:
    """One catalogue; a folder that cannot be read is a mistake beside the others, unless it `must_be` there."""
    if place == SHIPPED:
        return shipped()
    try:
        return read_shelf(Path(place))
    except ConfigError as exc:
        if must_be:
            raise
        return Shelf(place, (), (exc,))


@cache
def shipped() -> Shelf:
    """The catalogue that comes with microclaw."""
    folder = resources.files(__package__)

    def read(file: str) -> bytes:
        return (folder / (f"micropython/{file}" if file.endswith(".py") else file)).read_bytes()

    names = sorted(one.name.removesuffix(".toml") for one in folder.iterdir() if one.name.endswith(".toml"))
    entries = [name for name in names if "version" in tomllib.loads(read(f"{name}.toml").decode())]
    return Shelf(SHIPPED, tuple(_entry(name, read, f"patterns/{name}.toml", SHIPPED) for name in entries))


def read_shelf(folder: Path) -> Shelf:
    """A folder, or the work tree of a git checkout, as it is now. Raises ConfigError where it cannot be read."""
    folder = folder.expanduser().absolute()
    entries: list[Entry] = []
    mistakes: list[ConfigError] = []
    for name in _folders_in(folder, NAME, MAX_ENTRIES):
        try:
            versions = versions_in(folder / name)
            if versions:
                entries.append(read_entry(folder / name / versions[-1], name, str(folder), version=versions[-1]))
        except ConfigError as exc:
            mistakes.append(exc)
    return Shelf(str(folder), tuple(entries), tuple(mistakes))


def versions_in(folder: Path) -> list[str]:
    """The versions of an entry, the newest last."""
    return sorted(_folders_in(folder, VERSION, MAX_VERSIONS), key=parse_version)


def read_entry(folder: Path, name: str, shelf: str, *, version: str | None = None) -> Entry:
    """The entry whose description and sources are in a folder; `version` is what its folder's name says.

    Raises EntryMistake.
    """

    def read(file: str) -> bytes:
        return _read_file(folder / file)

    entry = _entry(name, read, str(folder / f"{name}.toml"), shelf)
    if version is not None and entry.version_text != version:
        raise EntryMistake(str(folder / f"{name}.toml"), f"version is {entry.version_text}, its folder says {version}")
    return entry


def parse_version(text: str) -> Version:
    """Read "1.0.2". Raises ValueError."""
    found = VERSION.fullmatch(text)
    if found is None:
        raise ValueError(f"version has to be three numbers as in 1.0.2, not {text!r:.40}")
    return int(found[1]), int(found[2]), int(found[3])


def _folders_in(folder: Path, names: re.Pattern[str], most: int) -> list[str]:
    """The folders in a folder whose name is of this form, sorted. Others, hidden ones and links are left out."""
    found: list[str] = []
    try:
        with os.scandir(folder) as rows:
            for row in rows:
                if names.fullmatch(row.name) and row.is_dir(follow_symlinks=False):
                    found.append(row.name)
                if len(found) > most:
                    raise ConfigError(f"{folder} has more than {most} folders", next_step="take old ones away")
    except OSError as exc:
        raise ConfigError(f"cannot read {folder}: {exc.strerror}", next_step="give a catalogue's folder") from exc
    return sorted(found)


def _read_file(path: Path) -> bytes:
    most = MAX_DESCRIPTION_BYTES if path.suffix == ".toml" else 4 * Limits().source_chars
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
    text, data = _parsed(content, shown)
    try:
        fields = _fields(data)
        rows = _rows(data)
        files = {f"{name}.toml": content}
        for file in _source_names(name, data, fields["kinds"]):
            files[file] = read(file)
            _check_source(files[file])
        wiring = read_wiring(data.get("wiring"), [key for key, row in rows.items() if row["type"] == "pin"])
        parameters: Mapping[str, Parameter] = {}
        for kind in fields["kinds"]:
            for blocking in (True, False):  # each source has to have all of them
                pattern = pattern_of(name, text, lambda one: _decoded(files[one]), blocking=blocking, kind=kind)
                parameters = pattern.parameters
    except EntryMistake:
        raise
    except (ConfigError, ValueError) as exc:
        why = exc.message if isinstance(exc, ConfigError) else str(exc)
        raise EntryMistake(shown, why, _line_of(text, why)) from exc
    return Entry(name=name, **fields, parameters=parameters, wiring=wiring, files=files, folder=shelf)


def _parsed(content: bytes, shown: str) -> tuple[str, dict[str, Any]]:
    try:
        text = content.decode("utf-8")
        if (deep := _DEEP.search(text)) is not None:  # the parser takes the square of a key's depth
            raise EntryMistake(shown, "a key of too many parts", text.count("\n", 0, deep.start()) + 1)
        return text, tomllib.loads(text)
    except UnicodeDecodeError as exc:
        raise EntryMistake(shown, "this line is not UTF-8", content.count(b"\n", 0, exc.start) + 1) from exc
    except (ValueError, RecursionError) as exc:
        found = _AT_LINE.fullmatch(str(exc))
        why = found[1] if found else str(exc)
        line = int(found[2] or content.count(b"\n") + 1) if found else None
        raise EntryMistake(shown, f"this is not TOML: {why[:200]}", line) from exc


def _fields(data: Mapping[str, Any]) -> dict[str, Any]:
    if unknown := sorted(set(data) - _KEYS):
        raise ValueError(f"{unknown[0][:40]} is no field of an entry; fields: {', '.join(sorted(_KEYS))}")
    kinds = tuple(data.get("kinds", KINDS)) if isinstance(data.get("kinds", []), list) else ()
    if not kinds or len(set(map(str, kinds))) != len(kinds) or not set(map(str, kinds)) <= set(KINDS):
        raise ValueError('kinds has to be a list of "wasm", "py" or both')
    app = data.get("app")
    if not isinstance(app, str) or not NAME.fullmatch(app):
        raise ValueError("app has to be a name for the program: letters, digits, - and _, at most 63")
    if not isinstance(data.get("version"), str):
        raise ValueError('version is missing; write version = "1.0.0"')
    if len(kinds) < len(KINDS) and "missing" not in data:
        raise ValueError("missing has to say why there is no program of the other kind")
    expect = data.get("expect")
    if not isinstance(expect, str) or not expect.strip() or len(expect) > MAX_EXPECT_CHARS:
        raise ValueError(f"expect has to say what proves the program, in at most {MAX_EXPECT_CHARS:,} characters")
    return {
        "version": parse_version(data["version"]),
        "title": _words(data, "title"),
        "about": _words(data, "about"),
        "app_name": app,
        "kinds": kinds,
        "missing": _words(data, "missing") if "missing" in data else "",
    }


def _words(data: Mapping[str, Any], key: str) -> str:
    text = data.get(key)
    if not isinstance(text, str) or not 0 < len(text.strip()) <= _LONGEST[key]:
        raise ValueError(f"{key} has to be a text of 1 to {_LONGEST[key]} characters")
    return clean_text(" ".join(text.split()), one_line=True)


def _source_names(name: str, data: Mapping[str, Any], kinds: Sequence[ProgramKind]) -> Iterator[str]:
    if "wasm" in kinds:
        for key in ("source", "events"):
            file = data.get(key, f"{name}.c" if key == "source" else None)
            if file is not None:
                if not isinstance(file, str) or not _C_FILE.fullmatch(file):
                    raise ValueError(f"{key} has to be the name of a .c, .cpp or .ino file beside this one")
                yield file
    if "py" in kinds:
        yield f"{name}.py"


def _check_source(content: bytes) -> None:
    text = _decoded(content)
    if len(text) > Limits().source_chars or max(map(len, text.splitlines()), default=0) > MAX_LINE_CHARS:
        raise ValueError(f"a source has at most {Limits().source_chars:,} characters and {MAX_LINE_CHARS} in a line")


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise ValueError(f"a source is no UTF-8 text (byte {exc.start})") from exc


def _rows(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The descriptions of the parameters."""
    rows = data.get("parameters", {})
    if not isinstance(rows, dict) or len(rows) > MAX_PARAMETERS:
        raise ValueError(f"parameters has to be at most {MAX_PARAMETERS} tables, each [parameters.NAME]")
    for key, row in rows.items():
        _check_row(key, row)
    return rows


def _check_row(key: str, row: Any) -> None:
    if not _PARAMETER.fullmatch(key):
        raise ValueError(f"a parameter is named in capitals as in PIN_1, not {key!r:.40}")
    if not isinstance(row, dict) or not set(row) <= _ROW_KEYS or "type" not in row or "default" not in row:
        raise ValueError(f"parameters.{key} has to have type and default; fields: {', '.join(sorted(_ROW_KEYS))}")
    for limit in ("min", "max"):
        if limit in row and (isinstance(row[limit], bool) or not isinstance(row[limit], int)):
            raise ValueError(f"parameters.{key}: {limit} has to be a whole number")
    if row["type"] == "int" and not {"min", "max"} <= set(row):
        raise ValueError(f"parameters.{key} has to have min and max")
    if row["type"] == "pin" and row.get("use") not in ("output", "input", "pwm"):
        raise ValueError(f"parameters.{key}: use has to be output, input or pwm")
    for word in ("title", "unit"):
        if word in row and not (isinstance(row[word], str) and re.fullmatch(r"[ -~]{1,60}", row[word])):
            raise ValueError(f"parameters.{key}: {word} has to be 1 to 60 plain characters")


def _line_of(text: str, message: str) -> int | None:
    """The line that a message is about: that of the first table or field that it names."""
    for word in re.findall(r"[A-Za-z_][\w.]*", message):
        found = re.search(
            rf"^(?:\[+\s*(?:parameters\.)?{re.escape(word)}\s*\]|{re.escape(word)}\s*=)", text, re.MULTILINE
        )
        if found:
            return text.count("\n", 0, found.start()) + 1
    return None


def _text_of(entry: Entry) -> str:
    parts = " ".join(part.name for part in entry.wiring)
    return f"{entry.name} {entry.title} {entry.about} {parts}".lower()
