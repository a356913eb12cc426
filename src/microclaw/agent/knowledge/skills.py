"""The skills of this host: the owner's folders and the shipped ones, each with a SKILL.md.

The format is that of agentskills.io: YAML front matter, then Markdown; fields other than name and description are
ignored. A skill is trusted as the owner's own text. Nothing is run: scripts in its folder are only read.
"""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Annotated, Final

import yaml
from msgspec import Meta, Struct

from microclaw.conversion import convert
from microclaw.durable import read_limited
from microclaw.errors import Diagnostic, StoreError, ToolFailed, UnknownName

_log = logging.getLogger(__name__)

SKILL: Final = "SKILL.md"
MAX_SKILLS: Final = 100
MAX_SKILL_BYTES: Final = 64 * 1024
# Files of one skill that are looked at.
MAX_FOLDER_FILES: Final = 200
# Of a skill's file in one tool result.
MAX_PIECE_CHARS: Final = 6000
MAX_FILE_BYTES: Final = 256 * 1024
_FORM: Final = re.compile(r"---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*$(.*)", re.DOTALL | re.MULTILINE)
# The YAML library takes quadratic time for nested text.
_MAX_FRONT_CHARS: Final = 8 * 1024


class Skill(Struct, frozen=True):
    """A usable skill."""

    name: str
    description: str
    body: str
    folder: Path
    shipped: bool = False


class _Front(Struct):
    name: Annotated[str, Meta(max_length=64, pattern="^[a-z0-9]+(-[a-z0-9]+)*$")]
    description: Annotated[str, Meta(min_length=1, max_length=1024)]


class Skills:
    """The skills. The owner's skill replaces a shipped skill of the same name. Changed files are read again."""

    def __init__(self, folder: Path, *, shipped: Path | None = None) -> None:
        self.folder = folder
        if shipped is None:
            self._shipped = shipped_skills()
        else:
            self._shipped = shipped

    def all(self) -> tuple[Skill, ...]:
        """Return every usable skill, by name. Blocking, cached."""
        skills: dict[str, Skill] = {}
        for result in self._read():
            if isinstance(result, Skill):
                skills.setdefault(result.name, result)
        return tuple(skills[name] for name in sorted(skills))

    def broken(self) -> dict[str, Diagnostic]:
        """Return the mistakes of the folders without a usable skill."""
        mistakes: dict[str, Diagnostic] = {}
        for result in self._read():
            if isinstance(result, Diagnostic):
                mistakes[Path(result.file).parent.name] = result
        return mistakes

    def get(self, name: str) -> Skill:
        """Return the skill of this name. Raises UnknownName, which lists all skills."""
        skills = {skill.name: skill for skill in self.all()}
        if name in skills:
            return skills[name]
        raise UnknownName(f"there is no skill {name[:80]!r}", next_step=f"skills: {', '.join(skills) or 'none'}")

    def piece(self, name: str, file: str | None = None, offset: int = 0) -> tuple[str, int | None]:
        """Return a part of a skill's text or of a file in its folder, from a position on.

        The second value is the next position, or None at the end. Raises ToolFailed for a file that may not be read.
        """
        skill = self.get(name)
        if file is None or file == SKILL:
            text = skill.body
        else:
            text = self._file(skill, file)
        end = offset + MAX_PIECE_CHARS
        if end < len(text):
            return text[offset:end], end
        return text[offset:end], None

    def files(self, name: str) -> tuple[str, ...]:
        """Return the other files in a skill's folder, which `piece` reads. Blocking."""
        folder = self.get(name).folder
        paths: list[Path] = []
        for path in islice(folder.rglob("*"), MAX_FOLDER_FILES):
            if path.is_file() and not path.is_symlink() and path.name != SKILL:
                paths.append(path)
        return tuple(str(path.relative_to(folder)) for path in sorted(paths))

    def _read(self) -> list[Skill | Diagnostic]:
        """Read all skills, the owner's first."""
        results: list[Skill | Diagnostic] = []
        for root in (self.folder, self._shipped):
            paths = sorted(root.iterdir()) if root.is_dir() else []
            for path in paths:
                if not path.name.startswith((".", "_")) and path.is_dir():
                    results.append(_read_skill(path, root == self._shipped, _file_stamp(path / SKILL)))
        return results[:MAX_SKILLS]

    def _file(self, skill: Skill, file: str) -> str:
        try:
            path = (skill.folder / file).resolve()
            if not path.is_relative_to(skill.folder.resolve()):
                raise ValueError("it is outside of the folder, or behind a link")
            data = read_limited(path, MAX_FILE_BYTES)
        # Links in a circle are a RuntimeError.
        except (ValueError, RuntimeError, OSError, StoreError) as exc:
            names = ", ".join(self.files(skill.name)) or "none"
            raise ToolFailed(
                f"{file[:200]!r} is not a file of the skill {skill.name}", next_step=f"its files: {names}"
            ) from exc
        if data is None:
            raise ToolFailed(f"{file} has more than {MAX_FILE_BYTES:,} bytes", next_step="split it")
        return data.decode(errors="replace")


def shipped_skills() -> Path:
    """Return the folder of the skills that come with this package."""
    return Path(str(resources.files("microclaw.agent.knowledge") / "shipped"))


def _file_stamp(path: Path) -> tuple[int, int]:
    """Return the time of a file in ns and its size; zeros if it cannot be read."""
    try:
        status = path.lstat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=2 * MAX_SKILLS)
def _read_skill(folder: Path, shipped: bool, _stamp: tuple[int, int]) -> Skill | Diagnostic:
    """Return the skill in a folder, or its mistake. A new stamp of its file makes the cache read it again."""
    try:
        if folder.is_symlink():
            raise ValueError("a skill is not a symbolic link")
        data = read_limited(folder / SKILL, MAX_SKILL_BYTES)
        if data is None:
            raise ValueError(f"it has more than {MAX_SKILL_BYTES:,} bytes")
        parts = _FORM.match(data.decode("utf-8-sig").replace("\r\n", "\n"))
        if parts is None or len(parts[1]) > _MAX_FRONT_CHARS or not parts[2].strip():
            raise ValueError("its form is wrong")
        # BaseLoader makes nothing but texts, lists and mappings.
        front = convert(yaml.load(parts[1], yaml.BaseLoader), _Front)  # noqa: S506
        if front.name != folder.name:
            raise ValueError(f"the name is {front.name!r}, its folder's is {folder.name!r}")
    except (OSError, StoreError, ValueError, yaml.YAMLError, RecursionError) as exc:
        _log.warning("the skill %s is left out: microclaw memory check-skills %s", folder.name, folder.name)
        mark = getattr(exc, "problem_mark", None)
        # The front matter begins after the line ---.
        line = None if mark is None else mark.line + 2
        hint = "write ---, name: (as its folder), description:, ---, then what the agent is to do; agentskills.io"
        text = f"this is not a skill: {exc!s:.300}".partition("\n")[0]
        return Diagnostic("error", text, f"{folder.name}/{SKILL}", line, hint=hint)
    return Skill(front.name, front.description, parts[2].strip(), folder, shipped)
