"""Reads and checks a SKILL.md: YAML front matter, then Markdown. Mistakes have their line. It activates nothing.

The format is the common one (agentskills.io): name, description, license, compatibility, metadata, allowed-tools.
Our own fields under `metadata` are `tools` (shown to the model while the skill is active) and `capabilities` (device
methods that the skill needs), each a list or words in one string.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import ClassVar, Final, NoReturn

import yaml
from msgspec import Struct, structs

from microclaw.config.yaml_file import FileMistakes, YamlFile
from microclaw.durable import read_limited
from microclaw.errors import Diagnostic, StoreError

SKILL: Final = "SKILL.md"
MAX_SKILL_BYTES: Final = 64 * 1024
MAX_FOLDER_FILES: Final = 200
_MAX_FRONT_CHARS: Final = 8 * 1024  # the YAML library takes quadratic time for nested text
_MAX_FIELD_CHARS: Final = {"name": 64, "description": 1024, "license": 200, "compatibility": 500}
_NAME: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


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
    file = _SkillFile(folder, {"tools": known_tools, "capabilities": known_capabilities})
    try:
        return SkillCheck(file.skill(shipped), ())
    except FileMistakes as exc:
        return SkillCheck(None, exc.diagnostics)


class _SkillFile(YamlFile):
    """Reads one SKILL.md. `known` are the names that a list of metadata may have."""

    page: ClassVar = "agentskills.io"

    def __init__(self, folder: Path, known: dict[str, Collection[str] | None]) -> None:
        super().__init__(Path(folder.name) / SKILL)
        self._folder = folder
        self._known = known
        self._lines: list[str] = []

    def skill(self, shipped: bool) -> Skill:
        """FileMistakes with all of them; one that hides the rest comes alone."""
        lines = self._lines = self._text().splitlines()
        if not lines or lines[0].rstrip() != "---":
            self._stop(1, "the front matter is missing", "begin the file with ---, name:, description:, ---")
        end = next((n for n, line in enumerate(lines[1:], 1) if line.rstrip() in ("---", "...")), None)
        if end is None:
            self._stop(len(lines), "the front matter has no end", "close it with a line ---")
        front = "\n".join(["", *lines[1:end], ""])  # its lines keep their numbers
        body = "\n".join(lines[end + 1 :]).strip()
        if len(front) > _MAX_FRONT_CHARS:
            text = f"the front matter has {len(front)} characters, at most {_MAX_FRONT_CHARS} are read"
            self._stop(1, text, "what the agent is to read belongs below it")
        if not body:
            self.wrong(end + 2, "nothing follows the front matter", "write what the agent is to do")
        root = self.root(front.encode(), "write name: and description:")
        self.check()
        if not isinstance(root, yaml.MappingNode):
            self._stop(2, "the front matter has no fields", "write name: and description:")
        found: dict[str, yaml.Node] = {}
        for key, place, node in self._items(root):
            if key in found:
                self.at(place, f"{key} is there twice", "leave one of them out")
            found[key] = node
        for key in ("name", "description"):
            if key not in found:
                self.wrong(1, f"{key} is missing", f"write {key}: in the front matter")
        fields = {key: self._field(key, found[key]) for key in _MAX_FIELD_CHARS if key in found}
        if "allowed-tools" in found:
            self._words("allowed-tools", found["allowed-tools"])
        lists = self._lists(found["metadata"]) if "metadata" in found else {}
        self.check()
        return Skill(fields["name"], fields["description"], body, self._folder, shipped, **lists)

    def _text(self) -> str:
        path = self._folder / SKILL
        if self._folder.is_symlink() or path.is_symlink():
            self._stop(1, "a skill is not a symbolic link", "put the folder itself there")
        try:
            data = read_limited(path, MAX_SKILL_BYTES)
        except (OSError, StoreError) as exc:
            self._stop(
                1, f"{SKILL} cannot be read: {getattr(exc, 'strerror', exc)}", f"a skill is a folder with a {SKILL}"
            )
        if data is None:
            step = "move parts into files beside it and name them in the text"
            self._stop(1, f"{SKILL} has more than {MAX_SKILL_BYTES:,} bytes", step)
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as exc:
            self._stop(data.count(b"\n", 0, exc.start) + 1, "this line is not UTF-8", "save the file as UTF-8")

    def _items(self, node: yaml.MappingNode) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
        """Each field's name, its place and its value. One that is no text is not shown: aliases may make it endless."""
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                yield str(key.value), key, value
            else:
                self.at(key, "a field's name has to be a text", "write name: value")

    def _field(self, key: str, node: yaml.Node) -> str:
        value, limit = str(node.value).strip() if isinstance(node, yaml.ScalarNode) else None, _MAX_FIELD_CHARS[key]
        if value is None:
            self.at(node, f"{key} has to be a text", f"write {key}: on one line")
        elif not value:
            self.at(node, f"{key} is empty", f"say in {key} what the skill is")
        elif len(value) > limit:
            self.at(node, f"{key} has {len(value)} characters, at most {limit} are allowed", "make it shorter")
        elif key == "name" and _NAME.fullmatch(value) is None:
            self.at(node, f"{value!r} is not a name for a skill", "lower-case letters, digits and single hyphens")
        elif key == "name" and value != self._folder.name:
            self.at(node, f"the name is {value!r}, its folder's is {self._folder.name!r}", "rename one of the two")
        return value or ""

    def _lists(self, metadata: yaml.Node) -> dict[str, tuple[str, ...]]:
        if isinstance(metadata, yaml.MappingNode):
            return {key: self._words(key, node) for key, _, node in self._items(metadata) if key in self._known}
        self.at(metadata, "metadata has to be fields", "write key: value, indented")
        return {}

    def _words(self, key: str, node: yaml.Node) -> tuple[str, ...]:
        nodes, known = node.value if isinstance(node, yaml.SequenceNode) else [node], self._known.get(key)
        if not all(isinstance(one, yaml.ScalarNode) for one in nodes):
            self.at(node, f"{key} has to be words or a list of words", f"write {key}: one two")
            return ()
        words = [(str(one.value), one) for one in nodes]
        if isinstance(node, yaml.ScalarNode):
            words = [(word, node) for word in node.value.replace(",", " ").split()]
        for word, place in words:
            if known is not None and word not in known:
                near = difflib.get_close_matches(word, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(sorted(known)[:20])}"
                self.at(place, f"there is no {'tool' if key == 'tools' else 'device method'} {word!r}", hint)
        return tuple(word for word, _ in words)

    def wrong(self, line: int, message: str, hint: str, column: int | None = None) -> None:
        super().wrong(line, message, hint, column)
        if line <= len(self._lines):
            self.mistakes[-1] = structs.replace(self.mistakes[-1], source_line=self._lines[line - 1])

    def _stop(self, line: int, message: str, hint: str) -> NoReturn:
        self.wrong(line, message, hint)
        raise FileMistakes(self.mistakes, self.page)
