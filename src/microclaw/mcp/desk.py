"""For whom a request is: the way to the host, and whose calls and timelines are meant. It answers nothing itself."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import anyio

from microclaw.mcp.attach import HostAttachment
from microclaw.mcp.bridge import HostBridge
from microclaw.mcp.lent_board import LentBoard

YOUNG_S: Final = 10.0  # a host that is younger may still be getting its boards
POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Visit:
    """`owner` parts one caller's calls and timelines from another's; `session` is theirs for the host."""

    bridge: HostBridge
    owner: str
    session: str


class Desk(Protocol):
    async def visit(self, context: Any, alive: Callable[[], Any] | None = None) -> Visit:
        """Who sends this request, once the host is ready; `alive` is called now and then until it is."""
        ...


class LocalDesk:
    """One client on stdin and stdout, in the name of the owner of this account."""

    def __init__(self, attachment: HostAttachment, bridge: HostBridge, lent: LentBoard) -> None:
        self._attachment = attachment
        self._lent = lent
        self._looking = anyio.Lock()
        self._visit = Visit(bridge, "local", f"mcp-{secrets.token_hex(4)}")
        self._has_boards = False

    async def visit(self, context: Any, alive: Callable[[], Any] | None = None) -> Visit:  # noqa: ARG002
        await self._attachment.ready(alive)
        async with self._looking:
            if not self._has_boards:
                await self._wait_for_boards()
                self._has_boards = True
        return self._visit

    async def _wait_for_boards(self) -> None:
        """Another client's host may have just begun: it answers before its virtual board is there."""
        while True:
            status = await self._visit.bridge.get("/v1/status")
            if status["up_s"] > YOUNG_S:
                await self._lent.lend(status["devices"])
                return
            if status["devices"]:
                return
            await anyio.sleep(POLL_S)
