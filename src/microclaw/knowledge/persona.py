"""Who the agent is and whom it works for: SOUL.md and USER.md. It never writes a person's file."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final

from microclaw.knowledge.places import OWNER_ID, person_folder
from microclaw.knowledge.text_files import TextCache

SOUL: Final = "SOUL.md"
USER: Final = "USER.md"
MAX_PERSONA_BYTES: Final = 16 * 1024


class Persona:
    """`config` has the owner's SOUL.md and USER.md; another person's USER.md lies in that person's memory folder.

    A file is read again when it changed; SOUL.md that is missing or empty is the shipped one.
    """

    def __init__(self, config: Path, memory: Path) -> None:
        self.config = config
        self._memory = memory
        self._files = TextCache(MAX_PERSONA_BYTES)

    def soul(self) -> str:
        return self._files.read(self.config / SOUL).strip() or default_soul()

    def user(self, person: str) -> str:
        """What the person wrote of themselves; "" when there is nothing."""
        folder = self.config if person == OWNER_ID else person_folder(self._memory, person)
        return self._files.read(folder / USER).strip()


@cache
def default_soul() -> str:
    """The shipped SOUL.md."""
    return (resources.files("microclaw.knowledge") / "defaults" / SOUL).read_text(encoding="utf-8").strip()
