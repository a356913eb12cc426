"""What the agent knows: memory, conversations, skills."""

from __future__ import annotations

from typing import Final

from microclaw.client.calls import Group, Rows, rows
from microclaw.client.request import segment
from microclaw.wire.host_api import JsonObject

SEE_SESSIONS: Final = "microclaw session list"
SEE_SKILLS: Final = "microclaw skill list"


class Memory(Group):
    """`client.memory`: your own."""

    def get(self, name: str = "MEMORY.md") -> JsonObject:
        """`text` of MEMORY.md with its `digest`, and the latest `notes`; or of USER.md, SOUL.md, a day's note."""
        return self._host.get("/v1/memory", {"name": name})

    def write(self, text: str, was: str, *, name: str = "MEMORY.md") -> JsonObject:
        """Put an edited text in place of the one with the digest `was`; the old one is kept."""
        return self._host.put("/v1/memory", {"text": text, "was": was, "name": name})

    def search(self, words: str, *, limit: int = 10) -> Rows[JsonObject]:
        """The best matches, with their source."""
        return rows(self._host.get("/v1/memory/search", {"q": words, "limit": limit}), "found")


class Sessions(Group):
    """`client.sessions`: conversations with the agent, for an owner."""

    def list(self) -> Rows[JsonObject]:
        """The latest first."""
        return rows(self._host.get("/v1/sessions"), "sessions")

    def get(self, name: str, *, newest: int = 40) -> JsonObject:
        """The newest messages of a conversation."""
        return self._host.get(f"/v1/sessions/{segment(name, SEE_SESSIONS)}", {"newest": newest})

    def remove(self, name: str) -> JsonObject:
        return self._host.delete(f"/v1/sessions/{segment(name, SEE_SESSIONS)}")


class Skills(Group):
    """`client.skills`: what the agent reads before it does something."""

    def list(self) -> JsonObject:
        """Skills that can be used, and folders that cannot."""
        return self._host.get("/v1/skills")

    def get(self, name: str) -> JsonObject:
        """A skill's text and the files beside it."""
        return self._host.get(f"/v1/skills/{segment(name, SEE_SKILLS)}")

    def check(self, name: str) -> JsonObject:
        """A skill's mistakes with their lines."""
        return self._host.get(f"/v1/skills/{segment(name, SEE_SKILLS)}/check")
