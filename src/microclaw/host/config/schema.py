"""The tree of what settings.py declares, walked by name, and the check of one value. It reads no file."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import NoneType
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args, get_origin, get_type_hints

import msgspec

from microclaw.conversion import convert
from microclaw.host.config.forms import Form
from microclaw.host.config.settings import ConfigFile

Path: TypeAlias = tuple[str, ...]
"""Names of tables and of a value in the last one."""

dotted: Final = ".".join

# Stands for names that a person chooses.
NAME: Final = "NAME"
# The shown part of a wrong value.
SHOWN_CHARS: Final = 200
_PASSWORD: Final = re.compile(r"(?<=//)[^/\s@]*(?=@)")
_WORDS: Final = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


class Node:
    """A section, whose `about` is empty, or a setting: its type and the arguments of setting().

    `inside` of a section or a table of texts is by name, or only under NAME (for each of `names`, if there are any).
    `form` and `choices` are for the value, or for each value of a list; `words` say what it may be.
    """

    def __init__(
        self,
        kind: Any,
        *,
        about: str = "",
        low: Any = None,
        high: Any = None,
        secret: bool = False,
        default: Any = None,
    ) -> None:
        self.kind = kind
        self.about = about
        self.low = low
        self.high = high
        self.secret = secret
        self.default = None if default in (MISSING, (), "") else default
        self.inside, self.names = _inside(kind, secret)
        self.is_list = get_origin(kind) is tuple
        if self.is_list:
            item = get_args(kind)[0]
        else:
            item = kind
        self.form: Form | None = None
        self.choices: tuple[Any, ...] = ()
        words = _WORDS.get(item, "a table of texts")
        if get_origin(item) is Annotated:
            self.form = item.__metadata__[0]
            words = item.__metadata__[0].words
        elif get_origin(item) is Literal:
            self.choices = get_args(item)
            words = f"one of {', '.join(map(str, self.choices))}"
        if low is not None:
            words += f" of {low:.15g} to {high:.15g}"
        if self.is_list:
            words = f"a list, each {words}"
            if self.choices:
                words += ", none twice"
        self.words = words

    def child(self, part: str) -> Node | None:
        may_be_chosen = not self.names or part in self.names
        if NAME in self.inside and may_be_chosen:
            return self.inside[NAME]
        return self.inside.get(part)

    def checked(self, value: object) -> Any:
        """Convert the value to its type. Raises ValueError, whose text follows the setting's name."""
        if isinstance(value, str) and self.form is not None:
            value = value.strip()
        try:
            result = convert(value, self.kind)
            if self._is_allowed(result):
                return result
        except msgspec.ValidationError:
            pass
        words = value if isinstance(value, list) else [value]
        wrong = [word for word in words if word not in self.choices]
        text = f"not {self.words}"
        if wrong:
            text += did_you_mean(str(wrong[0]), map(str, self.choices))
        if self.secret:
            raise ValueError(f" is {text}")
        raise ValueError(f" is {_brief(value)}, {text}")

    def _is_allowed(self, value: Any) -> bool:
        """Return True if a value of the right type has the form and the bounds of this setting."""
        items = value if self.is_list else (value,)
        if self.form is not None and not all(map(self.form.has, items)):
            return False
        if self.low is not None and not self.low <= value <= self.high:
            return False
        has_duplicates = bool(self.choices) and len(items) > len(set(items))
        return bool(items) and not has_duplicates


@cache
def root() -> Node:
    return Node(ConfigFile)


def find(path: Path) -> Node | None:
    """Return the node at a path, such as ("mcp", "servers", "git", "url")."""
    node: Node | None = root()
    for part in path:
        if node is not None:
            node = node.child(part)
        else:
            node = None
    return node


def all_settings(
    names: Callable[[Path], Iterable[str]] = lambda _path: (NAME,), section: Node | None = None, path: Path = ()
) -> Iterator[tuple[Path, Node]]:
    """Yield every setting with its path, in the order of settings.py; `names` returns the names that a person chose."""
    inside = (section or root()).inside
    parts: Iterable[str] = inside
    if NAME in inside:
        parts = names(path)
    for part in parts:
        node = inside.get(part) or inside[NAME]
        if node.about:
            yield (*path, part), node
        else:
            yield from all_settings(names, node, (*path, part))


def value_in(text: str, node: Node | None) -> object:
    """Parse a value from a variable or a command line: texts as they are, lists of words, the rest as TOML."""
    is_list = node is not None and node.is_list and bool(node.about)
    if node is not None and not node.is_list:
        is_text = node.form is not None or node.kind is str
        if is_text or node.choices:
            return next((choice for choice in node.choices if str(choice) == text), text)
    try:
        is_toml_list = text.lstrip().startswith("[")
        if is_list and not is_toml_list:
            return shlex.split(text)
        found: dict[str, object] = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        # The text has an open quote, is not TOML, or has a number or nesting without end.
        return text
    if len(found) == 1:
        return found["value"]
    return text


def did_you_mean(word: str, known: Iterable[str], before: str = "") -> str:
    """Return the end of a sentence that suggests the nearest word; "" if no word is near."""
    from rapidfuzz import fuzz, process

    near = process.extractOne(word, list(known), scorer=fuzz.ratio, score_cutoff=60)
    if near:
        return f": did you mean {before}{near[0]}?"
    return ""


def _brief(value: object) -> str:
    """Return the beginning of a value, without the password of an address."""
    try:
        return without_password(json.dumps(value, ensure_ascii=False, default=str))[:SHOWN_CHARS]
    except ValueError:
        # A number may have thousands of digits.
        return "that"


def without_password(text: str) -> str:
    """Return an address without its password."""
    return _PASSWORD.sub("...", text)


def _inside(kind: Any, secret: bool) -> tuple[Mapping[str, Node], tuple[str, ...]]:
    inner = get_args(kind)
    if get_origin(kind) is Mapping:
        return {NAME: Node(inner[1], secret=secret)}, get_args(inner[0])
    if not is_dataclass(kind):
        return {}, ()
    hints = get_type_hints(kind, include_extras=True)
    nodes = {}
    for field in fields(kind):
        hint = hints[field.name]
        if NoneType in get_args(hint):
            hint = get_args(hint)[0]
        node = Node(hint, **field.metadata, default=field.default)
        if node.about or node.inside:
            nodes[field.name] = node
    return nodes, ()
