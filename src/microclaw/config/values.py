"""Values checked against keys.py: types, bounds, `${ENV}`, unknown names. Everything wrong is found, nothing raised."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final, assert_never

from microclaw.config.document import Path, shown
from microclaw.config.keys import KIND_WORDS, ROOT, Key, Kind, Named, Node, Rows, Section

MAX_TEXT: Final = 16_384
_REFERENCE: Final = re.compile(r"\$\$\{|\$\{([^}]*)\}?")
_PASSWORD: Final = re.compile(r"(?<=//)[^/\s@]*(?=@)")
_BRIEF: Final = 200  # characters of a wrong value that are shown
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SERVER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


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
    """One source: a file, or the environment. `values` is what is right in it; `unset`: keys of variables not set."""

    values: dict[str, Any] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    unset: dict[str, str] = field(default_factory=dict)
    place_of: Callable[[Path], tuple[str, int | None]] = lambda _: ("", None)


class Reader:
    """Reads one layer. `secrets_only`: the file that holds nothing but secrets."""

    def __init__(self, layer: Layer, environ: Mapping[str, str], *, secrets_only: bool = False) -> None:
        self._layer = layer
        self._environ = environ
        self._secrets_only = secrets_only

    def read(self, values: Mapping[str, Any]) -> None:
        self._layer.values = self._section(ROOT, values, ())

    def _section(self, section: Section, values: object, path: Path) -> dict[str, Any]:
        if not isinstance(values, Mapping):
            self._wrong(path, f"{shown(path)} is a section, not {_kind_of(values)}", f"write it as [{shown(path)}]")
            return {}
        clean = {}
        for name, value in values.items():
            node = section.keys.get(name)
            if node is None:
                self._unknown((*path, name), tuple(section.keys))
            elif (found := self._node(node, value, (*path, name))) is not None:
                clean[name] = found
        return clean

    def _node(self, node: Node, value: object, path: Path) -> Any:
        match node:
            case Key():
                return self._key(node, value, path)
            case Section():
                return self._section(node, value, path)
            case Named():
                return self._named(node, value, path)
            case Rows():
                if not isinstance(value, list):
                    self._wrong(path, f"{shown(path)} is a list of tables", f"write it as [[{shown(path)}]]")
                    return None
                return [self._section(node.section, row, (*path, n)) for n, row in enumerate(value)]
            case _:
                assert_never(node)

    def _named(self, node: Named, values: object, path: Path) -> dict[str, Any]:
        if not isinstance(values, Mapping):
            self._wrong(path, f"{shown(path)} holds sections", f"write it as [{shown(path)}.NAME]")
            return {}
        clean = {}
        for name, value in values.items():
            if node.names and name not in node.names:
                self._unknown((*path, name), node.names)
            elif not _SERVER.fullmatch(name):
                self._wrong((*path, name), f"{name!r} is no name: letters, digits, - and _, at most 32", "rename it")
            else:
                clean[name] = self._section(node.section, value, (*path, name))
        return clean

    def _key(self, key: Key, value: object, path: Path) -> Any:
        if self._secrets_only and not key.secret:
            self._wrong(path, f"{shown(path)} is no secret: it belongs in config.toml", "move it there")
            return None
        value = self._expanded(key, value, path)
        if value is None:
            return None
        found = _typed(key.kind, value)
        if found is None:
            text = f"{shown(path)} is {_kind_of(value)}, not {KIND_WORDS[key.kind]}"
            self._wrong(path, text, f"microclaw config set {shown(path)} VALUE")
            return None
        complaint = _complaint(key, found)
        if complaint is not None:
            said = "its value" if key.secret else _brief(found)
            self._wrong(path, f"{shown(path)}: {said} {complaint}", f"microclaw config set {shown(path)} VALUE")
            return None
        return found

    def _expanded(self, key: Key, value: object, path: Path) -> object:
        """The value with its `${ENV}`; None when a variable is not set."""
        match value:
            case str():
                text = self._text(key, value, path)
                if text is None or text == value or key.kind == "text":
                    return text
                return plain_value(key.kind, text)
            case list():
                texts = [self._text(key, item, path) if isinstance(item, str) else item for item in value]
                return None if None in texts else texts
            case dict():
                items = {n: self._text(key, v, (*path, n)) if isinstance(v, str) else v for n, v in value.items()}
                return None if None in items.values() else items
            case _:
                return value

    def _text(self, key: Key, text: str, path: Path) -> str | None:
        whole: list[str] = []
        end = 0
        for found in _REFERENCE.finditer(text):
            whole.append(text[end : found.start()])
            end = found.end()
            name = found[1]
            if name is None:  # `$${` is `${` itself
                whole.append("${")
            elif not _NAME.fullmatch(name) or not found[0].endswith("}"):
                self._wrong(path, f"{shown(path)}: {found[0]!r} is no ${{NAME}}", "write ${NAME}; $${ is a plain ${")
                return None
            elif not self._environ.get(name, "").strip():
                self._layer.unset[shown(path)] = name
                text = f"{shown(path)}: the environment has no {name}"
                self._wrong(path, text, f"export {name}=..., or set another value", fatal=not key.secret)
                return None
            else:
                whole.append(self._environ[name].strip())
        return "".join(whole) + text[end:]

    def _unknown(self, path: Path, known: tuple[str, ...]) -> None:
        near = get_close_matches(str(path[-1]), known, 1)
        hint = f": did you mean {shown((*path[:-1], near[0]))}?" if near else ""
        what = "setting" if path[:-1] else "section"
        self._wrong(path, f"{shown(path)} is no {what}{hint}", "correct or remove it; all: microclaw config get")

    def _wrong(self, path: Path, message: str, next_step: str, *, fatal: bool = True) -> None:
        place, line = self._layer.place_of(path)
        self._layer.mistakes.append(Mistake(place, line, shown(path), message, next_step, fatal))


def plain_value(kind: Kind, text: str) -> object:
    """A value given as text (a variable, a command line): texts as they are, the rest as TOML writes it."""
    if kind == "text":
        return text
    if kind == "words" and not text.lstrip().startswith("["):
        import shlex

        try:
            return shlex.split(text)
        except ValueError:
            return text
    return toml_value(text)


def toml_value(text: str) -> object:
    """What TOML makes of a text; the text itself where that is nothing."""
    import tomllib

    try:
        found: dict[str, object] = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # no TOML, a number without end, nested without end
        return text
    return found["value"] if len(found) == 1 else text


def _typed(kind: Kind, value: object) -> Any:
    """The value when it is of this kind; None else."""
    match kind, value:
        case ("switch", bool()):
            return value
        case (_, bool()):
            return None
        case ("text", str()) if value.strip():
            return value.strip()
        case ("whole", int()):
            return value
        case ("number", int() | float()):
            try:
                return float(value)
            except OverflowError:  # above every bound
                return math.inf
        case ("words", list()) if value and all(isinstance(item, str) and item for item in value):
            return tuple(value)
        case ("texts", dict()) if all(isinstance(item, str) for item in value.values()):
            return value
    return None


def _complaint(key: Key, value: Any) -> str | None:
    if isinstance(value, str) and (len(value) > MAX_TEXT or not value.isprintable()):
        return f"is longer than {MAX_TEXT} characters" if len(value) > MAX_TEXT else "has control characters"
    if key.choices and value not in key.choices:
        near = get_close_matches(value, key.choices, 1)
        return f"is none of {', '.join(key.choices)}" + (f": did you mean {near[0]}?" if near else "")
    if key.low is not None and key.high is not None and not key.low <= value <= key.high:
        return f"is not between {key.low:g} and {key.high:g}" if key.kind == "number" else _between(key.low, key.high)
    return key.check(value) if key.check is not None else None


def without_password(text: str) -> str:
    """An address without the password that stands in it."""
    return _PASSWORD.sub("...", text)


def _brief(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > 64:
        return "the number"
    text = repr(value)
    return without_password(text) if len(text) <= _BRIEF else f"{without_password(text)[:_BRIEF]}..."


def _between(low: float, high: float) -> str:
    return f"is not between {low:.0f} and {high:.0f}"


def _kind_of(value: object) -> str:
    match value:
        case str():
            return "an empty text" if not value.strip() else "a text"
        case bool():
            return "true or false"
        case int():
            return "a whole number"
        case float():
            return "a number"
        case list():
            return "a list" if value else "an empty list"
        case dict():
            return "a table"
        case _:
            return "a date or time"
