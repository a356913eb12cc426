"""Reads and checks a SKILL.md: YAML front matter, then Markdown. Mistakes have their line. It activates nothing.

The format is the common one (agentskills.io): name, description, license, compatibility, metadata, allowed-tools.
Our own fields under `metadata` are `tools` (shown to the model while the skill is active) and `capabilities` (device
methods that the skill needs), each a list or words in one string.
"""

from __future__ import annotations

import difflib
import re
import stat
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Final

import yaml
from msgspec import Struct

from microclaw.errors import Diagnostic

SKILL: Final = "SKILL.md"
MAX_SKILL_BYTES: Final = 64 * 1024
MAX_FOLDER_FILES: Final = 200
_MAX_FRONT_CHARS: Final = 8 * 1024  # the YAML library takes quadratic time for nested text
_MAX_FIELD_CHARS: Final = {"name": 64, "description": 1024, "license": 200, "compatibility": 500}
_NAME: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_LIST_FIELDS: Final = ("tools", "capabilities")


class Skill(Struct, frozen=True):
    """A usable skill. `tools` and `capabilities` are our own metadata."""

    name: str
    description: str
    body: str
    folder: Path
    shipped: bool = False
    tools: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()


class SkillCheck(Struct, frozen=True):
    """The result of a check: the skill, or None and every mistake by line."""

    skill: Skill | None
    mistakes: tuple[Diagnostic, ...]

    @property
    def ok(self) -> bool:
        return self.skill is not None


def check_skill(
    folder: Path,
    *,
    shipped: bool = False,
    known_tools: Collection[str] | None = None,
    known_capabilities: Collection[str] | None = None,
) -> SkillCheck:
    """Check a skill's folder. Names of tools and capabilities are checked if the known ones are given. Blocking."""
    reader = _SkillReader(folder, known_tools, known_capabilities)
    text = reader.text()
    fields, body, line = reader.front_matter(text) if text is not None else ({}, "", 1)
    if text is not None:
        reader.check_body(body, line)
    if reader.mistakes:
        return SkillCheck(None, reader.in_order())
    skill = Skill(fields["name"], fields["description"], body.strip(), folder, shipped, **reader.lists)
    return SkillCheck(skill, ())


class _SkillReader:
    """Reads one SKILL.md and collects its mistakes."""

    def __init__(self, folder: Path, tools: Collection[str] | None, capabilities: Collection[str] | None) -> None:
        self._folder = folder
        self._known = {"tools": tools, "capabilities": capabilities}
        self._lines: list[str] = []
        self.mistakes: list[Diagnostic] = []
        self.lists: dict[str, tuple[str, ...]] = {}

    def in_order(self) -> tuple[Diagnostic, ...]:
        return tuple(sorted(self.mistakes, key=lambda m: (m.line or 0, m.column or 0)))

    def text(self) -> str | None:
        path = self._folder / SKILL
        if self._folder.is_symlink() or path.is_symlink():
            self._wrong("a skill is not a symbolic link", None, hint="put the folder itself there")
            return None
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise OSError(0, "it is not a file")
            size = status.st_size
            data = path.read_bytes() if size <= MAX_SKILL_BYTES else b""
        except OSError as exc:
            hint = f"a skill is a folder with a {SKILL}" if isinstance(exc, FileNotFoundError) else None
            self._wrong(f"{SKILL} cannot be read: {exc.strerror or exc}", None, hint=hint)
            return None
        if size > MAX_SKILL_BYTES:
            hint = "move parts into files beside it and name them in the text"
            self._wrong(f"{SKILL} has {size:,} bytes, at most {MAX_SKILL_BYTES:,} are read", None, hint=hint)
            return None
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as exc:
            self._wrong("this line is not UTF-8", data.count(b"\n", 0, exc.start) + 1, hint="save the file as UTF-8")
            return None
        self._lines = text.splitlines()
        return text

    def front_matter(self, text: str) -> tuple[dict[str, str], str, int]:
        """The fields, the body, and the body's first line."""
        if not self._lines or self._lines[0].rstrip() != "---":
            self._wrong("the front matter is missing", 1, hint="begin the file with ---, name:, description:, ---")
            return {}, text, 1
        end = next((n for n, line in enumerate(self._lines[1:], 1) if line.rstrip() in ("---", "...")), None)
        if end is None:
            self._wrong("the front matter has no end", len(self._lines), hint="close it with a line ---")
            return {}, "", 1
        body, below = "\n".join(self._lines[end + 1 :]), end + 2
        source = "\n".join(self._lines[1:end]) + "\n"
        if len(source) > _MAX_FRONT_CHARS:
            hint = "what the agent is to read belongs below it"
            self._wrong(
                f"the front matter has {len(source)} characters, at most {_MAX_FRONT_CHARS} are read", 1, hint=hint
            )
            return {}, body, below
        return self._fields(source), body, below

    def _fields(self, source: str) -> dict[str, str]:
        try:
            node = yaml.compose(source, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as exc:
            mark = exc.problem_mark
            hint = 'put a text with ": " or "#" in it between quotes'
            line, column = (mark.line + 2, mark.column + 1) if mark else (1, None)
            self._wrong(f"this is not YAML: {exc.problem or 'unreadable'}", line, column, hint=hint)
            return {}
        except (yaml.YAMLError, RecursionError) as exc:
            self._wrong(f"this is not YAML: {exc!s:.200}", 1)
            return {}
        if not isinstance(node, yaml.MappingNode):
            self._wrong("the front matter has no fields", 2, hint="write name: and description:")
            return {}
        return self._of_mapping(node)

    def _of_mapping(self, node: yaml.MappingNode) -> dict[str, str]:
        found: dict[str, str] = {}
        seen: set[str] = set()
        for key_node, value_node in node.value:
            if (key := self._key(key_node)) is None:
                continue
            if key in seen:
                self._at(key_node, f"{key} is there twice", hint="leave one of them out")
            seen.add(key)
            if key == "metadata":
                self._of_metadata(value_node)
            elif key == "allowed-tools":
                self._words(key, value_node)
            elif key in _MAX_FIELD_CHARS and (value := self._scalar(key, value_node)) is not None:
                found[key] = value
        for key in ("name", "description"):
            if key not in seen:
                self._wrong(f"{key} is missing", 1, hint=f"write {key}: in the front matter")
        return found

    def _key(self, node: yaml.Node) -> str | None:
        """A field's name, or None. The message does not show it: with aliases its text may be endless."""
        if isinstance(node, yaml.ScalarNode):
            return str(node.value)
        self._at(node, "a field's name has to be a text", hint="write name: value")
        return None

    def _scalar(self, key: str, node: yaml.Node) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self._at(node, f"{key} has to be a text", hint=f"write {key}: on one line")
            return None
        value, limit = str(node.value).strip(), _MAX_FIELD_CHARS[key]
        if not value:
            self._at(node, f"{key} is empty", hint=f"say in {key} what the skill is")
        elif len(value) > limit:
            self._at(node, f"{key} has {len(value)} characters, at most {limit} are allowed", hint="make it shorter")
        elif key == "name" and _NAME.fullmatch(value) is None:
            self._at(node, f"{value!r} is not a name for a skill", hint="lower-case letters, digits and single hyphens")
        elif key == "name" and value != self._folder.name:
            self._at(
                node, f"the name is {value!r}, its folder's is {self._folder.name!r}", hint="rename one of the two"
            )
        return value

    def _of_metadata(self, node: yaml.Node) -> None:
        if not isinstance(node, yaml.MappingNode):
            self._at(node, "metadata has to be fields", hint="write key: value, indented")
            return
        for key_node, value_node in node.value:
            if (key := self._key(key_node)) is None:
                continue
            if key in _LIST_FIELDS:
                self.lists[key] = self._words(key, value_node)
                self._check_names(key, value_node)

    def _words(self, key: str, node: yaml.Node) -> tuple[str, ...]:
        if isinstance(node, yaml.ScalarNode):
            return tuple(str(node.value).replace(",", " ").split())
        if isinstance(node, yaml.SequenceNode) and all(isinstance(n, yaml.ScalarNode) for n in node.value):
            return tuple(str(n.value) for n in node.value)
        self._at(node, f"{key} has to be words or a list of words", hint=f"write {key}: one two")
        return ()

    def _check_names(self, key: str, node: yaml.Node) -> None:
        known = self._known[key]
        if known is None:
            return
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node] * len(self.lists[key])
        for name, name_node in zip(self.lists[key], nodes, strict=True):
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                what = "tool" if key == "tools" else "device method"
                hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(sorted(known)[:20])}"
                self._at(name_node, f"there is no {what} {name!r}", hint=hint)

    def check_body(self, body: str, first: int) -> None:
        if not body.strip():
            self._wrong("nothing follows the front matter", first, hint="write what the agent is to do")

    def _at(self, node: yaml.Node, message: str, *, hint: str) -> None:
        # The front matter begins below its `---`; marks count from 0.
        self._wrong(message, node.start_mark.line + 2, node.start_mark.column + 1, hint)

    def _wrong(
        self,
        message: str,
        line: int | None,
        column: int | None = None,
        hint: str | None = None,
    ) -> None:
        source = self._lines[line - 1] if line is not None and 0 < line <= len(self._lines) else None
        file = f"{self._folder.name}/{SKILL}"
        self.mistakes.append(Diagnostic("error", message, file, line, column, source, hint))


def inside(folder: Path, name: str) -> Path:
    """The path of a file below a folder. ValueError for a name that leads out of it, also by a symbolic link."""
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts or "\0" in name or not parts.parts:
        raise ValueError(f"{name!r} is not a file of this folder")
    path = folder
    for part in parts.parts:
        path = path / part
        if path.is_symlink():
            raise ValueError(f"{name!r} is a symbolic link, or lies behind one")
    return path
