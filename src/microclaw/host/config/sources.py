"""The sources of settings: config.toml, secrets.toml and the environment, read and checked. It raises nothing."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Mapping
from functools import cached_property, reduce
from pathlib import Path as FilePath
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

import msgspec

from microclaw.conversion import convert
from microclaw.durable import mode_step, read_limited
from microclaw.errors import ConfigError, StoreError
from microclaw.host.config.places import text_of
from microclaw.host.config.schema import NAME, Node, Path, did_you_mean, dotted, find, root, value_in
from microclaw.host.config.settings import ConfigFile

CONFIG: Final = "config.toml"
SECRETS: Final = "secrets.toml"
MAX_FILE_BYTES: Final = 262_144
_CLOSE: Final = "its owner closes it to other users"

PREFIX: Final = "MICROCLAW_"
KNOWN_VARIABLES: Final[Mapping[str, Path]] = {
    "TELEGRAM_BOT_TOKEN": ("telegram", "token"),
    "BRAVE_API_KEY": ("search", "api_key"),
    "MICROCLAW_MODEL": ("model", "name"),
}
"""Names that others use too. The model's keys and addresses are joined in load.py: they also choose the provider."""

_PLACE: Final = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)$")
_WORD: Final = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_KEY: Final = re.compile(rf"\s*(\[\[|\[|)\s*({_WORD}(?:\s*\.\s*{_WORD})*)\s*[]=]")
_REFERENCE: Final = re.compile(r"\$\$\{|\$\{([^}]*)\}?")
_VARIABLE: Final = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_PASSWORD: Final = re.compile(r"//[^/\s@:]*:([^/\s@]+)@")
_SECTION_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")

Origin: TypeAlias = tuple[str, int | None]
"""A file or a variable, and the line in the file."""


class Mistake(msgspec.Struct, frozen=True, rename={"place": "file", "next_step": "next", "fatal": "stops_host"}):
    """`fatal`: the host does not start with it; else only a part is off. `place` is a file or a variable."""

    place: str
    line: int | None
    key: str
    message: str
    next_step: str
    fatal: bool = True

    def __str__(self) -> str:
        if self.line is None:
            return f"{self.place}: {self.message}"
        return f"{self.place}:{self.line}: {self.message}"


class Sources:
    """The settings of files and variables, with their mistakes.

    `values` has the valid values by their paths, the strongest of each, with {} for each table. `places` has where they
    are set, `secrets` the texts of secrets and the passwords in addresses. `texts` replaces the texts of files that are
    not written yet, by their names.
    """

    def __init__(self, home: FilePath, environ: Mapping[str, str], texts: Mapping[str, str] | None = None) -> None:
        self.values: dict[Path, Any] = {}
        self.places: dict[Path, Origin] = {}
        self.mistakes: list[Mistake] = []
        self.secrets: set[str] = set()
        self._unset: dict[Path, str] = {}
        # For ${NAME}.
        self._environ: Mapping[str, str] | None = environ
        self._lines: Mapping[Path, int] = {}
        for name in (CONFIG, SECRETS):
            self._read_file(home / name, (texts or {}).get(name))
        # the text of a variable names no other
        self._environ = None
        self._exposed = ""
        self._lines = {}
        self._read_environment(environ)

    @cached_property
    def file(self) -> ConfigFile:
        """The same as one typed value."""
        whole: dict[Any, Any] = {}
        # A table comes before its values.
        for path, value in self.values.items():
            if path:
                section = reduce(lambda node, part: node[part], path[:-1], whole)
                # An own table keeps `values` as they are.
                section[path[-1]] = {} if value == {} else value
        return convert(whole, ConfigFile)

    def take(self, path: Path, text: str, variable: str) -> None:
        """Let the text of a variable count."""
        self._source = variable
        self._lines = {}
        self._put(path, text)

    def unset(self, path: Path) -> str | None:
        """Return the unset variable that a setting or one of its items names, or None."""
        return next((name for place, name in self._unset.items() if place[: len(path)] == path), None)

    def _read_file(self, path: FilePath, text: str | None) -> None:
        self._source = path.name
        self._exposed = ""
        self._lines = {}
        try:
            if text is None:
                text, is_exposed = text_of_file(path, closed=path.name == SECRETS)
                if is_exposed:
                    self._exposed = str(path)
            values = tomllib.loads(text)
            self._lines = _lines_of(text)
        except ConfigError as exc:
            self._wrong((), exc.message, exc.next_step or "")
        except (ValueError, RecursionError) as exc:
            # A number of thousands of digits and nesting without end also come here.
            place = _PLACE.search(str(exc))
            if place is not None and place[1]:
                line = int(place[1])
            else:
                line = (text or "").count("\n") + 1
            message = f"this is not TOML: {_PLACE.sub('', str(exc))}"
            self.mistakes.append(Mistake(path.name, line, "", message, f"correct line {line} of {path}"))
        else:
            if values:
                self._section(root(), values, ())

    def _read_environment(self, environ: Mapping[str, str]) -> None:
        """Variables of other programs' names, then MICROCLAW_<SECTION>__<KEY>, which are stronger."""
        found = {path: name for name, path in KNOWN_VARIABLES.items() if text_of(environ, name)}
        for name in sorted(environ):
            if name.startswith(PREFIX) and "__" in name and text_of(environ, name):
                found[tuple(name.removeprefix(PREFIX).lower().split("__"))] = name
        for path, self._source in found.items():
            value = value_in(environ[self._source].strip(), find(path))
            self._section(root(), reduce(lambda inner, part: {part: inner}, reversed(path), value), ())

    def _section(self, section: Node, value: object, path: Path) -> None:
        # Rows, such as [[model.fallback]], are named by their numbers.
        if isinstance(value, list) and NAME in section.inside:
            value = {str(number): row for number, row in enumerate(value, 1)}
        if not isinstance(value, Mapping):
            form = dotted(path)
            if NAME in section.inside:
                form = dotted((*path, NAME))
            self._wrong(path, f"{dotted(path)} is not a section", f"write it as [{form}]")
            return
        self._put(path, {})
        for part, inner in value.items():
            below = (*path, part)
            node = section.child(part)
            if node is None:
                kind = "setting" if path else "section"
                near = did_you_mean(part, section.names or section.inside, dotted((*path, "")))
                text = f"{dotted(below)} is not a {kind}{near}"
                self._wrong(below, text, "correct or remove it; all: microclaw config get --all")
            elif NAME in section.inside and not section.about and not _SECTION_NAME.fullmatch(part):
                self._wrong(below, f"{part!r} is not a valid name: letters, digits, - and _, at most 32", "rename it")
            elif node.inside and (not node.about or isinstance(inner, Mapping)):
                self._section(node, inner, below)
            else:
                self._setting(node, inner, below)

    def _setting(self, setting: Node, value: object, path: Path) -> None:
        key = dotted(path)
        if self._source == SECRETS and not setting.secret:
            self._wrong(path, f"{key} is not a secret: it belongs in {CONFIG}", "move it there")
            return
        # Two values of one secret are ambiguous.
        if self._source == SECRETS and path in self.values:
            text = f"{key} is in {SECRETS} too"
            self.mistakes.append(Mistake(*self.places[path], key, text, "remove one of them"))
        has_secret = setting.secret and isinstance(value, str) and "${" not in value
        if self._exposed and has_secret:
            text = f"{key} is a secret, and other users can read this file"
            self._wrong(path, text, mode_step("", "600", FilePath(self._exposed)) or _CLOSE)
        try:
            if self._environ is not None:
                value = self._expanded(setting, value)
            self._put(path, setting.checked(value))
        except _UnsetVariable as exc:
            name = self._unset[path] = str(exc.args[0])
            step = f"export {name}=..., or set another value"
            self._wrong(path, f"{key}: the environment has no {name}", step, fatal=not setting.secret)
        except ValueError as exc:
            self._wrong(path, f"{key}{exc}", f"microclaw config set {key} VALUE")

    def _expanded(self, setting: Node, value: object) -> object:
        """Replace the variables in a value. Raises _UnsetVariable, ValueError."""

        def variable(found: re.Match[str]) -> str:
            if found[1] is None:
                return "${"
            if not _VARIABLE.fullmatch(found[0]):
                raise ValueError(": a NAME must follow ${; $${ is a plain ${")
            text = text_of(self._environ or {}, found[1])
            if text is None:
                raise _UnsetVariable(found[1])
            return text

        if isinstance(value, list):
            items = []
            for item in value:
                is_text = isinstance(item, str)
                items.append(_REFERENCE.sub(variable, item) if is_text else item)
            return items
        if not isinstance(value, str) or "${" not in value:
            return value
        return value_in(_REFERENCE.sub(variable, value), setting)

    def _put(self, path: Path, value: Any) -> None:
        """Store a value with the place that counts; of a table, its first place."""
        if value == {} and path in self.values:
            return
        self.values[path] = value
        self.places[path] = self._origin(path)
        setting = find(path)
        items = value if isinstance(value, tuple) else (value,)
        for text in items:
            if isinstance(text, str) and setting is not None and setting.secret:
                # The VALUE in "Bearer VALUE" is a secret, too.
                self.secrets.update((text, text.rpartition(" ")[2]))
            elif isinstance(text, str):
                for password in _PASSWORD.findall(text):
                    self.secrets.update((password, unquote(password)))

    def _wrong(self, path: Path, message: str, next_step: str, *, fatal: bool = True) -> None:
        self.mistakes.append(Mistake(*self._origin(path), dotted(path), message, next_step, fatal))

    def _origin(self, path: Path) -> Origin:
        """Return the source and the line of a path, or of the table around it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self._lines:
                return self._source, self._lines[path[:length]]
        return self._source, None


class _UnsetVariable(Exception):
    """Its argument: the variable's name."""


def _lines_of(text: str) -> dict[Path, int]:
    """Return the first line of each table and value. A key in a long text comes too late to count."""
    lines: dict[Path, int] = {}
    rows: Counter[Path] = Counter()
    section: Path = ()
    for number, line in enumerate(text.split("\n"), 1):
        key = _KEY.match(line)
        if key is None:
            continue
        words = [word.strip("\"'") for word in re.findall(_WORD, key[2])]
        is_header = bool(key[1])
        path = () if is_header else section
        for count, word in enumerate(words, 1):
            path = (*path, word)
            rows[path] += key[1] == "[[" and count == len(words)
            lines.setdefault(path, number)
            # `[a.b]` after `[[a]]` belongs to its last row.
            if rows[path]:
                path = (*path, str(rows[path]))
                lines.setdefault(path, number)
        if is_header:
            section = path
    return lines


def text_of_file(path: FilePath, *, closed: bool = False) -> tuple[str, bool]:
    """Return the text of a file, and True if other users can read it.

    Raises ConfigError, also for a `closed` file that other users can read.
    """
    step = f"correct {path}"
    try:
        data = read_limited(path.resolve(), MAX_FILE_BYTES)
        exposed = bool(path.stat().st_mode & 0o077)
        text = (data or b"").decode("utf-8-sig")
    except FileNotFoundError:
        return "", False
    except (OSError, StoreError, UnicodeDecodeError) as exc:
        raise ConfigError(f"cannot be read: {exc}", next_step=step) from exc
    if closed and exposed:
        raise ConfigError("other users can read it: it is not used", next_step=mode_step("", "600", path) or _CLOSE)
    if data is None:
        raise ConfigError(f"is longer than {MAX_FILE_BYTES >> 10} KiB", next_step=step)
    return text, exposed
