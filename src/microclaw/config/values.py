"""Values checked against the declaration: types, bounds, `${ENV}`, unknown names. It raises nothing."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import msgspec

from microclaw.config.document import Path, dotted
from microclaw.config.places import text_of
from microclaw.config.schema import NAME, ROW, Kind, Setting, Table, did_you_mean, root

MAX_TEXT: Final = 16_384
_REFERENCE: Final = re.compile(r"\$\$\{|\$\{([^}]*)\}?")
_PASSWORD: Final = re.compile(r"(?<=//)[^/\s@]*(?=@)")
_BRIEF: Final = 200  # characters of a wrong value that are shown
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TABLE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_KINDS: Final[Mapping[Kind, tuple[Any, str]]] = {
    "text": (str, "a text"),
    "whole": (int, "a whole number"),
    "number": (int | float, "a number"),
    "switch": (bool, "true or false"),
    "words": (tuple[str, ...], "a list of texts"),
    "texts": (dict[str, str], "a table of texts"),
    "item": (str, "a text"),
}
_FOUND: Final = {str: "a text", bool: "true or false", int: "a whole number", float: "a number", list: "a list"}

Origin: TypeAlias = tuple[str, int | None]
"""A file or a variable, and the line in the file."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """`fatal`: the host does not start with it; else only a part is off. `place` is a file or a variable."""

    place: str
    line: int | None
    key: str
    message: str
    next_step: str
    fatal: bool = True

    def __str__(self) -> str:
        place = self.place if self.line is None else f"{self.place}:{self.line}"
        return f"{place}: {self.message}"


@dataclass(slots=True)
class Layer:
    """What one source says. `values` are the right ones by their paths, with {} for each table.

    `places` are of everything in it; `unset` are paths whose variable is not set.
    """

    values: dict[Path, Any] = field(default_factory=dict)
    places: dict[Path, Origin] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    unset: dict[Path, str] = field(default_factory=dict)


class Reader:
    """Reads nested values into a layer. `secrets_only`: no other settings; `exposed`: a file that others can read."""

    def __init__(self, environ: Mapping[str, str], *, secrets_only: bool = False, exposed: str = "") -> None:
        self.layer = Layer()
        self._environ = environ
        self._secrets_only = secrets_only
        self._exposed = exposed
        self._place = ""
        self._lines: Mapping[Path, int] = {}

    def read(self, values: Mapping[Any, Any], place: str, lines: Mapping[Path, int] | None = None) -> None:
        self._place, self._lines = place, lines or {}
        self._table(root(), values, ())

    def _origin(self, path: Path) -> Origin:
        """The line of a path, or of the table around it."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._place, self._lines.get(path)

    def _table(self, table: Table, value: object, path: Path) -> None:
        rows = ROW in table.inside
        inside = dict(enumerate(value)) if rows and isinstance(value, list) else value
        if not isinstance(inside, Mapping) or isinstance(value, list) != rows:
            wanted, form = ("a list of tables", "[[{}]]") if rows else ("a section", "[{}]")
            text = f"{dotted(path)} is {wanted}, not {_kind_of(value)}"
            self._wrong(path, text, f"write it as {form.format(dotted(path))}")
            return
        self.layer.places.setdefault(path, self._origin(path))
        self.layer.values.setdefault(path, {})
        for part, inner in inside.items():
            below = (*path, part)
            node = table.child(part)
            if node is None:
                before = f"{dotted(path)}." if path else ""
                hint = did_you_mean(str(part), table.names or list(table.inside), before)
                text = f"{dotted(below)} is no {'setting' if path else 'section'}{hint}"
                self._wrong(below, text, "correct or remove it; all: microclaw config get --all")
            elif NAME in table.inside and not _TABLE_NAME.fullmatch(part):
                self._wrong(below, f"{part!r} is no name: letters, digits, - and _, at most 32", "rename it")
            elif isinstance(node, Table):
                self._table(node, inner, below)
            else:
                self._setting(node, inner, below)

    def _setting(self, setting: Setting, value: object, path: Path) -> None:
        if setting.kind == "texts" and isinstance(value, dict):
            self.layer.places.setdefault(path, self._origin(path))
            self.layer.values.setdefault(path, {})
            for name, text in value.items():
                self._setting(replace(setting, kind="item"), text, (*path, name))
            return
        key = dotted(path)
        self.layer.places.setdefault(path, self._origin(path))
        if self._secrets_only and not setting.secret:
            self._wrong(path, f"{key} is no secret: it belongs in config.toml", "move it there")
            return
        if self._exposed and setting.secret and isinstance(value, str) and "${" not in value:
            self._wrong(path, f"{key} is a secret, and other users can read this file", f"chmod 600 {self._exposed}")
        value = self._expanded(setting, value, path)
        if value is None:
            return
        try:
            self.layer.values[path] = _checked(setting, value)
        except ValueError as exc:
            self._wrong(path, f"{key}{exc}", f"microclaw config set {key} VALUE")

    def _expanded(self, setting: Setting, value: object, path: Path) -> object:
        """The value with its `${ENV}`; None when a variable is not set."""
        if isinstance(value, list):
            texts = [self._text(setting, item, path) if isinstance(item, str) else item for item in value]
            return None if None in texts else texts
        if not isinstance(value, str):
            return value
        text = self._text(setting, value, path)
        return text if text is None or text == value else plain_value(setting.kind, text)

    def _text(self, setting: Setting, text: str, path: Path) -> str | None:
        for found in _REFERENCE.finditer(text):
            name = found[1]
            if name is None:  # `$${` is `${` itself
                continue
            if not _VARIABLE.fullmatch(name) or not found[0].endswith("}"):
                self._wrong(path, f"{dotted(path)}: {found[0]!r} is no ${{NAME}}", "write ${NAME}; $${ is a plain ${")
                return None
            if text_of(self._environ, name) is None:
                self.layer.unset[path] = name
                message = f"{dotted(path)}: the environment has no {name}"
                self._wrong(path, message, f"export {name}=..., or set another value", fatal=not setting.secret)
                return None
        return _REFERENCE.sub(lambda found: self._environ[found[1]].strip() if found[1] else "${", text)

    def _wrong(self, path: Path, message: str, next_step: str, *, fatal: bool = True) -> None:
        self.layer.mistakes.append(Mistake(*self._origin(path), dotted(path), message, next_step, fatal))


def plain_value(kind: Kind | None, text: str) -> object:
    """A value given as text (a variable, a command line): texts as they are, the rest, or an unknown, as in TOML."""
    if kind in ("text", "item"):
        return text
    try:
        if kind == "words" and not text.lstrip().startswith("["):
            return shlex.split(text)
        found: dict[str, object] = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # an open quote, no TOML, a number or nesting without end
        return text
    return found["value"] if len(found) == 1 else text


def without_password(text: str) -> str:
    """An address without the password that stands in it."""
    return _PASSWORD.sub("...", text)


def _checked(setting: Setting, value: object) -> object:
    """The value of the declared type; ValueError with the end of a sentence that begins with the setting's name."""
    wanted, words = _KINDS[setting.kind]
    try:
        found = msgspec.convert(value.strip() if isinstance(value, str) and setting.kind == "text" else value, wanted)
    except msgspec.ValidationError:
        found = None
    if found is None or (setting.kind in ("text", "words") and not (found and all(found))):
        raise ValueError(f" is {_kind_of(value)}, not {words}")
    complaint = None
    if setting.low is not None and setting.high is not None and not setting.low <= found <= setting.high:
        complaint = f"is not between {setting.low:.15g} and {setting.high:.15g}"
    elif setting.kind == "words" and setting.choices:
        return _chosen(setting, found)
    elif setting.kind == "words" and setting.check is not None:
        wrong = next(((word, text) for word in found if (text := _text_complaint(setting, word))), None)
        if wrong is not None:
            raise ValueError(f": {_brief(wrong[0])} {wrong[1]}")
    elif setting.kind == "text":
        complaint = _text_complaint(setting, found)
    elif setting.check is not None:
        complaint = setting.check(found)
    if complaint is not None:
        raise ValueError(f": {'its value' if setting.secret else _brief(found)} {complaint}")
    return found


def _chosen(setting: Setting, words: tuple[str, ...]) -> tuple[str, ...]:
    """The words, each one of the choices and there once; else ValueError as of _checked."""
    for word in words:
        if word not in setting.choices:
            raise ValueError(f": {_brief(word)} {_no_choice(setting, word)}")
        if words.count(word) > 1:
            raise ValueError(f" names {word} twice")
    return words


def _no_choice(setting: Setting, text: str) -> str:
    return f"is none of {', '.join(setting.choices)}{did_you_mean(text, setting.choices)}"


def _text_complaint(setting: Setting, text: str) -> str | None:
    if len(text) > MAX_TEXT:
        return f"is longer than {MAX_TEXT} characters"
    if not text.isprintable():
        return "has control characters"
    if setting.choices and text not in setting.choices:
        return _no_choice(setting, text)
    return setting.check(text) if setting.check is not None else None


def _kind_of(value: object) -> str:
    if isinstance(value, Mapping):
        return "a table"
    empty = (isinstance(value, str) and not value.strip()) or value == []
    found = _FOUND.get(type(value), "a date or time")
    return found.replace("a ", "an empty ") if empty else found


def _brief(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > 64:
        return "the number"
    text = without_password(repr(value))
    return text if len(text) <= _BRIEF else f"{text[:_BRIEF]}..."
