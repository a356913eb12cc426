"""The skills of this host: a person's folders and the shipped ones, and which of them a chat has active.

A skill is the owner's own text, trusted as such. It runs nothing: scripts beside a skill are only read.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Final

from microclaw.errors import ToolFailed, UnknownName
from microclaw.knowledge.decisions import significant
from microclaw.knowledge.skill_file import MAX_FOLDER_FILES, SKILL, Checked, Skill, check_skill, inside
from microclaw.knowledge.text_files import read_text

_log = logging.getLogger(__name__)

MAX_SKILLS: Final = 100
MAX_NAMED_FILES: Final = 100  # of one skill
MAX_PIECE_CHARS: Final = 6000  # of a skill's file in one tool result
MAX_FILE_BYTES: Final = 256 * 1024
ACTIVE_S: Final = 1800.0  # since it was last asked for
MAX_ACTIVE: Final = 3  # in one chat
_CHATS: Final = 512
_STRONG: Final = 2.0  # of shared rare words, where a word that one skill alone has counts 1


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a skill's text or file; `next_offset` where there is more."""

    text: str
    next_offset: int | None


@dataclass(slots=True)
class _Kept:
    stamp: tuple[int, int]
    checked: Checked


class Skills:
    """A person's skill goes before a shipped one of the same name. Files are read again when they changed."""

    def __init__(
        self, folder: Path, *, shipped: Path | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.folder = folder
        self._shipped = shipped_skills() if shipped is None else shipped
        self._clock = clock
        self._kept: dict[Path, _Kept] = {}
        self._active: OrderedDict[tuple[str, str], dict[str, float]] = OrderedDict()
        self._warned: set[Path] = set()
        self._tools: dict[str, tuple[str, ...]] = {}

    def all(self) -> tuple[Skill, ...]:
        """Every skill that can be used, by name. Blocking; cached."""
        found: dict[str, Skill] = {}
        for folder, shipped in self._folders():
            checked = self._checked(folder, shipped)
            if checked.skill is not None:
                found.setdefault(checked.skill.name, checked.skill)
            elif folder not in self._warned:
                self._warned.add(folder)
                _log.warning("the skill %s is left out: microclaw skill check %s", folder.name, folder.name)
        self._tools = {name: skill.tools for name, skill in found.items()}
        return tuple(sorted(found.values(), key=lambda skill: skill.name))

    def broken(self) -> tuple[tuple[str, Checked], ...]:
        """Folders that are no usable skill, with what is wrong."""
        found = ((folder.name, self._checked(folder, shipped)) for folder, shipped in self._folders())
        return tuple((name, checked) for name, checked in found if checked.skill is None)

    def get(self, name: str) -> Skill:
        """UnknownName, which says which skills there are."""
        known = self.all()
        for skill in known:
            if skill.name == name:
                return skill
        names = ", ".join(skill.name for skill in known) or "none"
        raise UnknownName(f"there is no skill {name[:80]!r}", next_step=f"skills: {names}")

    def check(
        self, name: str, *, tools: Collection[str] | None = None, capabilities: Collection[str] | None = None
    ) -> Checked:
        """Every mistake of one skill, usable or not; UnknownName when there is no such folder."""
        for folder, shipped in self._folders():
            if folder.name == name:
                return check_skill(folder, shipped=shipped, known_tools=tools, known_capabilities=capabilities)
        names = ", ".join(folder.name for folder, _ in self._folders()) or "none"
        raise UnknownName(f"there is no skill {name[:80]!r} in {self.folder}", next_step=f"skills: {names}")

    def piece(self, name: str, file: str | None = None, offset: int = 0) -> Piece:
        """A skill's text, or a file beside it, from a character on. ToolFailed for one that may not be read."""
        skill = self.get(name)
        if file in (None, SKILL):
            text = skill.body
        else:
            assert file is not None
            text = self._file(skill, file)
        end = offset + MAX_PIECE_CHARS
        return Piece(text[offset:end], end if end < len(text) else None)

    def files(self, name: str) -> tuple[str, ...]:
        """Files beside a skill's text, which `piece` reads: of a folder with very many not all are named. Blocking."""
        folder = self.get(name).folder
        looked_at = islice(folder.rglob("*"), MAX_FOLDER_FILES)
        found = sorted(p for p in looked_at if p.is_file() and not p.is_symlink() and p.name != SKILL)
        return tuple(str(p.relative_to(folder)) for p in found[:MAX_NAMED_FILES])

    def matching(self, text: str) -> tuple[Skill, ...]:
        """Skills that a person's words strongly mean: rare words shared with name and description."""
        said = _stems(text)
        if not said:
            return ()
        words = {skill.name: _stems(f"{skill.name.replace('-', ' ')} {skill.description}") for skill in self.all()}
        skills_with = {word: sum(word in others for others in words.values()) for word in said}
        strong = []
        for skill in self.all():
            shared = said & words[skill.name]
            weight = sum(1.0 / skills_with[word] for word in shared)
            named = _stems(skill.name.replace("-", " "))
            if weight >= _STRONG or (named and named <= said):
                strong.append((weight, skill))
        return tuple(skill for _, skill in sorted(strong, key=lambda one: (-one[0], one[1].name))[:MAX_ACTIVE])

    def activate(self, channel: str, chat_id: str, name: str) -> Skill:
        """Make a skill active in a chat; beyond MAX_ACTIVE the one used longest ago goes."""
        skill = self.get(name)
        chat = self._active.setdefault((channel, chat_id), {})
        self._active.move_to_end((channel, chat_id))
        chat.pop(name, None)
        chat[name] = self._clock()
        while len(chat) > MAX_ACTIVE:
            del chat[next(iter(chat))]
        while len(self._active) > _CHATS:
            self._active.popitem(last=False)
        return skill

    def active(self, channel: str, chat_id: str) -> frozenset[str]:
        """Names of the skills that are active in a chat now: for Tool.skill."""
        since = self._clock() - ACTIVE_S
        chat = self._active.get((channel, chat_id), {})
        for name in [name for name, at in chat.items() if at < since]:
            del chat[name]
        return frozenset(chat)

    def shown_tools(self, channel: str, chat_id: str) -> frozenset[str]:
        """Tools that the chat's active skills name under metadata.tools, as they were read last. Not blocking."""
        return frozenset(tool for name in self.active(channel, chat_id) for tool in self._tools.get(name, ()))

    def _folders(self) -> list[tuple[Path, bool]]:
        found: list[tuple[Path, bool]] = []
        for root, shipped in ((self.folder, False), (self._shipped, True)):
            try:
                folders = sorted(p for p in root.iterdir() if not p.name.startswith((".", "_")) and p.is_dir())
            except (FileNotFoundError, NotADirectoryError):
                continue
            found += [(folder, shipped) for folder in folders]
        return found[:MAX_SKILLS]

    def _checked(self, folder: Path, shipped: bool) -> Checked:
        try:
            status = (folder / SKILL).lstat()
            stamp = (status.st_mtime_ns, status.st_size)
        except OSError:
            stamp = (0, 0)
        kept = self._kept.get(folder)
        if kept is None or kept.stamp != stamp:
            kept = self._kept[folder] = _Kept(stamp, check_skill(folder, shipped=shipped))
            self._warned.discard(folder)
        return kept.checked

    def _file(self, skill: Skill, file: str) -> str:
        try:
            path = inside(skill.folder, file)
            size = path.stat().st_size if path.is_file() else -1
        except (ValueError, OSError) as exc:
            raise ToolFailed(
                f"{file[:200]!r} is no file of the skill {skill.name}", next_step=self._names(skill)
            ) from exc
        if size < 0:
            raise ToolFailed(f"the skill {skill.name} has no file {file[:200]!r}", next_step=self._names(skill))
        if size > MAX_FILE_BYTES:
            raise ToolFailed(f"{file} has {size:,} bytes, at most {MAX_FILE_BYTES:,} are read", next_step="split it")
        return read_text(path, MAX_FILE_BYTES)

    def _names(self, skill: Skill) -> str:
        return f"its files: {', '.join(self.files(skill.name)) or 'none'}"


def shipped_skills() -> Path:
    """The folder of the skills that come with this package."""
    return Path(str(resources.files("microclaw.knowledge") / "shipped"))


def _stems(text: str) -> set[str]:
    """Words without their commonest English endings, so that "wiring a sensor" meets "wire the sensors"."""
    stems = set()
    for word in significant(text.replace("_", " ")):
        for ending in ("ing", "ed", "es", "s", "e"):
            if word.endswith(ending) and len(word) - len(ending) >= 3:
                word = word[: -len(ending)]
                break
        stems.add(word)
    return stems
