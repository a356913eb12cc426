"""The skills of this host: the owner's folders and the shipped ones.

A skill is trusted as the owner's own text. Nothing is run: scripts in a skill's folder are only read.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Final

from msgspec import Struct

from microclaw.config.yaml_file import FileMistakes
from microclaw.durable import read_limited
from microclaw.errors import Diagnostic, StoreError, ToolFailed, UnknownName
from microclaw.knowledge.skill_file import SKILL, Skill, read_skill

_log = logging.getLogger(__name__)

MAX_SKILLS: Final = 100
MAX_FOLDER_FILES: Final = 200  # of one skill; as many are looked at
MAX_PIECE_CHARS: Final = 6000  # of a skill's file in one tool result
MAX_FILE_BYTES: Final = 256 * 1024


class SkillPart(Struct, frozen=True):
    """A part of a skill's text or file; `next_offset` where there is more."""

    text: str
    next_offset: int | None


class Skills:
    """The owner's skill replaces a shipped one of the same name. Changed files are read again."""

    def __init__(self, folder: Path, *, shipped: Path | None = None) -> None:
        self.folder = folder
        self._shipped = shipped_skills() if shipped is None else shipped
        self._cache: dict[Path, tuple[tuple[int, int], Skill | FileMistakes]] = {}  # with the file's time and size

    def all(self) -> tuple[Skill, ...]:
        """Every usable skill, by name. Blocking, cached."""
        found: dict[str, Skill] = {}
        for folder, shipped in self._folders():
            if isinstance(skill := self._read(folder, shipped), Skill):
                found.setdefault(skill.name, skill)
        return tuple(found[name] for name in sorted(found))

    def broken(self) -> dict[str, Sequence[Diagnostic]]:
        """The mistakes of the folders without a usable skill."""
        read = {folder.name: self._read(folder, shipped) for folder, shipped in reversed(self._folders())}
        return {name: wrong.diagnostics for name, wrong in read.items() if isinstance(wrong, FileMistakes)}

    def get(self, name: str) -> Skill:
        """The skill of this name. UnknownName, which lists the skills there are."""
        known = {skill.name: skill for skill in self.all()}
        if name in known:
            return known[name]
        raise UnknownName(f"there is no skill {name[:80]!r}", next_step=f"skills: {', '.join(known) or 'none'}")

    def mistakes(self, name: str) -> Sequence[Diagnostic]:
        """The mistakes of a skill, usable or not. UnknownName when there is no such folder."""
        broken = self.broken()
        if name not in broken:
            self.get(name)
        return broken.get(name, ())

    def piece(self, name: str, file: str | None = None, offset: int = 0) -> SkillPart:
        """A skill's text, or a file in its folder, from a position on. ToolFailed for a file that may not be read."""
        skill = self.get(name)
        text = skill.body if file is None or file == SKILL else self._file(skill, file)
        end = offset + MAX_PIECE_CHARS
        return SkillPart(text[offset:end], end if end < len(text) else None)

    def files(self, name: str) -> tuple[str, ...]:
        """The other files in a skill's folder, which `piece` reads. Blocking."""
        folder = self.get(name).folder
        looked_at = islice(folder.rglob("*"), MAX_FOLDER_FILES)
        found = sorted(p for p in looked_at if p.is_file() and not p.is_symlink() and p.name != SKILL)
        return tuple(str(p.relative_to(folder)) for p in found)

    def _folders(self) -> list[tuple[Path, bool]]:
        found: list[tuple[Path, bool]] = []
        for root, shipped in ((self.folder, False), (self._shipped, True)):
            try:
                folders = sorted(p for p in root.iterdir() if not p.name.startswith((".", "_")) and p.is_dir())
            except (FileNotFoundError, NotADirectoryError):
                continue
            found += [(folder, shipped) for folder in folders]
        return found[:MAX_SKILLS]

    def _read(self, folder: Path, shipped: bool) -> Skill | FileMistakes:
        try:
            status = (folder / SKILL).lstat()
            stamp = (status.st_mtime_ns, status.st_size)
        except OSError:
            stamp = (0, 0)
        if folder in self._cache and self._cache[folder][0] == stamp:
            return self._cache[folder][1]
        found: Skill | FileMistakes
        try:
            found = read_skill(folder, shipped=shipped)
        except FileMistakes as exc:
            found = exc
            _log.warning("the skill %s is left out: microclaw memory check-skills %s", folder.name, folder.name)
        self._cache[folder] = (stamp, found)
        return found

    def _file(self, skill: Skill, file: str) -> str:
        try:
            path = (skill.folder / file).resolve()
            if not path.is_relative_to(skill.folder.resolve()):
                raise ValueError("it is outside of the folder, or behind a link")
            data = read_limited(path, MAX_FILE_BYTES)
        except (ValueError, RuntimeError, OSError, StoreError) as exc:  # RuntimeError: links in a circle
            names = ", ".join(self.files(skill.name)) or "none"
            raise ToolFailed(
                f"{file[:200]!r} is not a file of the skill {skill.name}", next_step=f"its files: {names}"
            ) from exc
        if data is None:
            raise ToolFailed(f"{file} has more than {MAX_FILE_BYTES:,} bytes", next_step="split it")
        return data.decode(errors="replace")


def shipped_skills() -> Path:
    """The folder of the skills that come with this package."""
    return Path(str(resources.files("microclaw.knowledge") / "shipped"))
