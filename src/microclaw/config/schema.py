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

from microclaw.config.forms import Form
from microclaw.config.settings import ConfigFile

Path: TypeAlias = tuple[str, ...]
"""Names of tables and of a value in the last one."""

dotted: Final = ".".join

NAME: Final = "NAME"  # stands for the names that a person chooses
SHOWN_CHARS: Final = 200  # of a wrong value
_PASSWORD: Final = re.compile(r"(?<=//)[^/\s@]*(?=@)")
_WORDS: Final = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


class Node:
    """A section, whose `about` is empty, or a setting: its type, and what setting() says of it.

    `inside` of a section or a table of texts is by name, or under NAME alone (one of `names`, where there are any).
    `form` and `choices` are of the value, or of each in its list; `words` say what it may be.
    """

    def __init__(
        self, kind: Any, about: str = "", low: Any = None, high: Any = None, secret: bool = False, default: Any = None
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
        self.form: Form | None = item.__metadata__[0] if get_origin(item) is Annotated else None
        self.choices: tuple[Any, ...] = get_args(item) if get_origin(item) is Literal else ()
        if self.form:
            words = self.form.words
        else:
            words = _WORDS.get(item, "a table of texts")
        if self.choices:
            words = f"one of {', '.join(map(str, self.choices))}"
        else:
            words = words
        if low is not None:
            words += f" of {low:.15g} to {high:.15g}"
        if self.is_list:
            self.words = f"a list, each {words}{', none twice' if self.choices else ''}"
        else:
            self.words = words

    def child(self, part: str) -> Node | None:
        return self.inside.get(NAME if NAME in self.inside and (not self.names or part in self.names) else part)

    def checked(self, value: object) -> Any:
        """Convert the value to its type. Raises ValueError, whose text follows the setting's name."""
        if isinstance(value, str) and self.form is not None:
            value = value.strip()
        try:
            found = msgspec.convert(value, self.kind)
            if self.is_list:
                texts = found
            else:
                texts = (found,)
            is_right = self.form is None or all(map(self.form.has, texts))
            is_right = is_right and (self.low is None or self.low <= found <= self.high)
            if is_right and texts and not (self.choices and len(texts) > len(set(texts))):
                return found
        except msgspec.ValidationError:
            pass
        wrong = [word for word in (value if isinstance(value, list) else [value]) if word not in self.choices]
        if wrong:
            near = did_you_mean(str(wrong[0]), map(str, self.choices))
        else:
            near = ""
        raise ValueError(f" is {'' if self.secret else f'{_brief(value)}, '}not {self.words}{near}")


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
    """Every setting with its path, in the order of settings.py; `names` gives those that a person chose there."""
    inside = (section or root()).inside
    for part in names(path) if NAME in inside else inside:
        node = inside.get(part) or inside[NAME]
        if node.about:
            yield (*path, part), node
        else:
            yield from all_settings(names, node, (*path, part))


def value_in(text: str, node: Node | None) -> object:
    """Parse a value from a variable or a command line: texts as they are, lists of words, the rest as TOML."""
    if node is not None and not node.is_list and (node.form or node.choices or node.kind is str):
        return next((choice for choice in node.choices if str(choice) == text), text)
    try:
        if node is not None and node.is_list and node.about and not text.lstrip().startswith("["):
            return shlex.split(text)
        found: dict[str, object] = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # an open quote, no TOML, a number or nesting without end
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
    except ValueError:  # a number with thousands of digits
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
    kinds = {name: get_args(hint)[0] if NoneType in get_args(hint) else hint for name, hint in hints.items()}
    nodes = {one.name: Node(kinds[one.name], **one.metadata, default=one.default) for one in fields(kind)}
    return {name: node for name, node in nodes.items() if node.about or node.inside}, ()
