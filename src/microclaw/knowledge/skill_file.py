"""Reads a SKILL.md: YAML front matter, then Markdown. Each mistake has its line.

The format is the common one (agentskills.io); other fields than name and description are left alone.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar, Final, NoReturn

import yaml
from msgspec import Struct

from microclaw.config.yaml_file import FileMistakes, YamlFile
from microclaw.durable import read_limited
from microclaw.errors import StoreError

SKILL: Final = "SKILL.md"
MAX_SKILL_BYTES: Final = 64 * 1024
MAX_NAME_CHARS: Final = 64
MAX_DESCRIPTION_CHARS: Final = 1024
_MAX_FRONT_CHARS: Final = 8 * 1024  # the YAML library takes quadratic time for nested text
_NAME: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


class Skill(Struct, frozen=True):
    """A usable skill."""

    name: str
    description: str
    body: str
    folder: Path
    shipped: bool = False


def read_skill(folder: Path, *, shipped: bool = False) -> Skill:
    """The skill in a folder; FileMistakes. Blocking."""
    return _SkillFile(Path(folder.name) / SKILL).skill(folder, shipped)


class _SkillFile(YamlFile):
    page: ClassVar = "agentskills.io"

    def skill(self, folder: Path, shipped: bool) -> Skill:
        """FileMistakes with all of them; one that hides the rest comes alone."""
        lines = self._text(folder).splitlines()
        if not lines or lines[0].rstrip() != "---":
            self._stop(1, "the front matter is missing", "begin the file with ---, name:, description:, ---")
        end = next((n for n, line in enumerate(lines[1:], 1) if line.rstrip() in ("---", "...")), None)
        if end is None:
            self._stop(len(lines), "the front matter has no end", "close it with a line ---")
        front = "\n".join(["", *lines[1:end], ""])  # its lines keep their numbers
        if len(front) > _MAX_FRONT_CHARS:
            self._stop(1, f"the front matter has more than {_MAX_FRONT_CHARS} characters", "write below it")
        body = "\n".join(lines[end + 1 :]).strip()
        if not body:
            self.wrong(end + 2, "nothing follows the front matter", "write what the agent is to do")
        root = self.root(front.encode(), "write name: and description:")
        self.check()
        assert root is not None
        fields = self._named(root, "the front matter")
        name = self._short(fields, "name", MAX_NAME_CHARS)
        description = self._short(fields, "description", MAX_DESCRIPTION_CHARS)
        if name and (_NAME.fullmatch(name) is None or name != folder.name):
            hint = "lower-case letters, digits and single hyphens, as its folder"
            self.at(fields["name"], f"the name is {name!r}, its folder's is {folder.name!r}", hint)
        self.check()
        return Skill(name, description, body, folder, shipped)

    def _text(self, folder: Path) -> str:
        if folder.is_symlink():
            self._stop(1, "a skill is not a symbolic link", "put the folder itself there")
        try:
            data = read_limited(folder / SKILL, MAX_SKILL_BYTES)
        except (OSError, StoreError) as exc:
            text = f"{SKILL} cannot be read: {getattr(exc, 'strerror', exc)}"
            self._stop(1, text, f"a skill is a folder with a {SKILL}")
        if data is None:
            step = "move parts into files beside it and name them in the text"
            self._stop(1, f"{SKILL} has more than {MAX_SKILL_BYTES:,} bytes", step)
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as exc:
            self._stop(data.count(b"\n", 0, exc.start) + 1, "this line is not UTF-8", "save the file as UTF-8")

    def _named(self, node: yaml.Node, what: str) -> dict[str, yaml.Node]:
        """The values of a mapping by their names; other programs' fields are welcome."""
        found: dict[str, yaml.Node] = {}
        if not isinstance(node, yaml.MappingNode):
            self.at(node, f"{what} has no fields", "write name: value")
            return found
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):  # not shown: aliases may make it endless
                self.at(key, "a field's name has to be a text", "write name: value")
            elif key.value in found:
                self.at(key, f"{key.value:.60} is there twice", "leave one of them out")
            else:
                found[key.value] = value
        return found

    def _short(self, fields: dict[str, yaml.Node], key: str, most: int) -> str:
        if key not in fields:
            self.wrong(1, f"{key} is missing", f"write {key}: in the front matter")
            return ""
        found = (self.text(fields[key], key) or "").strip()
        if len(found) > most:
            self.at(fields[key], f"{key} has {len(found)} characters, at most {most} are allowed", "make it shorter")
        return found

    def _stop(self, line: int, message: str, hint: str) -> NoReturn:
        self.wrong(line, message, hint)
        raise FileMistakes(self.mistakes, self.page)
