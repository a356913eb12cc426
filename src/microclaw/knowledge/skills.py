"""The skills of this host: the owner's folders and the shipped ones, each with a SKILL.md.

The format is the common one (agentskills.io): YAML front matter, then Markdown; other fields than name and description
are left alone. A skill is trusted as the owner's own text. Nothing is run: scripts in its folder are only read.
"""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Annotated, Final

import msgspec
import yaml
from msgspec import Meta, Struct

from microclaw.durable import read_limited
from microclaw.errors import Diagnostic, StoreError, ToolFailed, UnknownName

_log = logging.getLogger(__name__)

SKILL: Final = "SKILL.md"
MAX_SKILLS: Final = 100
MAX_SKILL_BYTES: Final = 64 * 1024
MAX_FOLDER_FILES: Final = 200  # of one skill; as many are looked at
MAX_PIECE_CHARS: Final = 6000  # of a skill's file in one tool result
MAX_FILE_BYTES: Final = 256 * 1024
_FORM: Final = re.compile(r"---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*$(.*)", re.DOTALL | re.MULTILINE)
_MAX_FRONT_CHARS: Final = 8 * 1024  # the YAML library takes quadratic time for nested text


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
    """The owner's skill replaces a shipped one of the same name. Changed files are read again."""

    def __init__(self, folder: Path, *, shipped: Path | None = None) -> None:
        self.folder = folder
        if shipped is None:
            self._shipped = shipped_skills()
        else:
            self._shipped = shipped

    def all(self) -> tuple[Skill, ...]:
        """Every usable skill, by name. Blocking, cached."""
        found = {one.name: one for one in reversed(self._read()) if isinstance(one, Skill)}
        return tuple(found[name] for name in sorted(found))

    def broken(self) -> dict[str, Diagnostic]:
        """Return the mistakes of the folders without a usable skill."""
        return {Path(one.file).parent.name: one for one in self._read() if isinstance(one, Diagnostic)}

    def get(self, name: str) -> Skill:
        """Return the skill of this name. Raises UnknownName, which lists all skills."""
        known = {skill.name: skill for skill in self.all()}
        if name in known:
            return known[name]
        raise UnknownName(f"there is no skill {name[:80]!r}", next_step=f"skills: {', '.join(known) or 'none'}")

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
        looked_at = islice(folder.rglob("*"), MAX_FOLDER_FILES)
        found = sorted(p for p in looked_at if p.is_file() and not p.is_symlink() and p.name != SKILL)
        return tuple(str(p.relative_to(folder)) for p in found)

    def _read(self) -> list[Skill | Diagnostic]:
        """Read all skills, the owner's first."""
        found: list[Skill | Diagnostic] = []
        for root in (self.folder, self._shipped):
            folders = root.iterdir() if root.is_dir() else ()
            for folder in sorted(p for p in folders if not p.name.startswith((".", "_")) and p.is_dir()):
                try:
                    status = (folder / SKILL).lstat()
                    stamp = (status.st_mtime_ns, status.st_size)
                except OSError:
                    stamp = (0, 0)
                found.append(_skill(folder, root == self._shipped, stamp))
        return found[:MAX_SKILLS]

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
    """Return the folder of the skills that come with this package."""
    return Path(str(resources.files("microclaw.knowledge") / "shipped"))


@lru_cache(maxsize=2 * MAX_SKILLS)
def _skill(folder: Path, shipped: bool, _stamp: tuple[int, int]) -> Skill | Diagnostic:
    """Return the skill in a folder, or its mistake. A new stamp of its file makes the cache read it again."""
    try:
        if folder.is_symlink():
            raise ValueError("a skill is not a symbolic link")
        data = read_limited(folder / SKILL, MAX_SKILL_BYTES)
        if data is None:
            raise ValueError(f"it has more than {MAX_SKILL_BYTES:,} bytes")
        found = _FORM.match(data.decode("utf-8-sig").replace("\r\n", "\n"))
        if found is None or len(found[1]) > _MAX_FRONT_CHARS or not found[2].strip():
            raise ValueError("its form is wrong")
        front = msgspec.convert(yaml.load(found[1], yaml.BaseLoader), _Front)  # noqa: S506  # it makes texts alone
        if front.name != folder.name:
            raise ValueError(f"the name is {front.name!r}, its folder's is {folder.name!r}")
    except (OSError, StoreError, ValueError, yaml.YAMLError, RecursionError) as exc:
        _log.warning("the skill %s is left out: microclaw memory check-skills %s", folder.name, folder.name)
        mark = getattr(exc, "problem_mark", None)
        line = mark.line + 2 if mark is not None else None  # behind the line ---
        hint = "write ---, name: (as its folder), description:, ---, then what the agent is to do; agentskills.io"
        text = f"this is not a skill: {exc!s:.300}".partition("\n")[0]
        return Diagnostic("error", text, f"{folder.name}/{SKILL}", line, hint=hint)
    return Skill(front.name, front.description, found[2].strip(), folder, shipped)
