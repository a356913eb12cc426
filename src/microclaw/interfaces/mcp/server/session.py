"""The session of a client of MCP."""

from __future__ import annotations

import hashlib
from contextvars import ContextVar
from typing import Final

from msgspec import Struct
from starlette.datastructures import Headers
from starlette.types import Scope

from microclaw.interfaces.api.caller import CALLER_KEY, Caller

SESSION_HEADER: Final = "mcp-session-id"


class Session(Struct, frozen=True):
    """A client's session, with its name in the host. `every_tool`: the agent's own tools are offered, too."""

    by: Caller
    name: str
    every_tool: bool = False

    @property
    def key(self) -> str:
        return f"{self.by.source}.{self.name}"


SESSION: Final[ContextVar[Session]] = ContextVar("MCP session")
"""The session of the message that is being handled."""


def session_of(scope: Scope) -> Session:
    """Return the session of a request.

    A client of the newest protocol names no session: all such clients of a token share one.
    """
    session_id = Headers(scope=scope).get(SESSION_HEADER)
    if session_id is None:
        return Session(scope[CALLER_KEY], "mcp-http")
    digest = hashlib.sha256(session_id.encode()).hexdigest()
    return Session(scope[CALLER_KEY], f"mcp-{digest[:32]}")
