"""The caller of an MCP request: the client of the host, and the owner of its calls. It answers nothing itself."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import anyio

from microclaw.errors import MicroclawError
from microclaw.mcp.server.shared_host import SharedHost
from microclaw.operations.client import AsyncClient
from microclaw.operations.connection import segment
from microclaw.virtual_boards.process import VirtualBoardProcess

YOUNG_S: Final = 10.0  # a host that is younger may still be getting its boards
POLL_S: Final = 0.1
NAME: Final = "virtual-1"
BOARD: Final = "virtual"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request. `owner` separates callers' calls and timelines; `session` is its name in the host."""

    host: AsyncClient
    owner: str
    session: str


EndSession: TypeAlias = Callable[[str, str], None]
"""Called with the owner and the name of a session that is over."""


class Service(Protocol):
    def sessions(self, ended: EndSession) -> AbstractAsyncContextManager[None]:
        """Inside, `ended` hears of each session that ends before this server does."""
        ...

    async def caller(self, context: Any) -> Caller:
        """Who sends this request, once the host is ready."""
        ...


class LocalService:
    """One client on stdin and stdout, in the name of the owner of this account."""

    def __init__(self, shared_host: SharedHost, host: AsyncClient, lent: LentBoard) -> None:
        self._shared_host = shared_host
        self._lent = lent
        self._looking = anyio.Lock()
        self._caller = Caller(host, "local", f"mcp-{secrets.token_hex(4)}")
        self._has_boards = False

    def sessions(self, ended: EndSession) -> AbstractAsyncContextManager[None]:  # noqa: ARG002
        return nullcontext()  # one client, which ends with this process

    async def caller(self, context: Any) -> Caller:  # noqa: ARG002
        await self._shared_host.ready()
        async with self._looking:
            if not self._has_boards:
                await self._wait_for_boards()
                self._has_boards = True
        return self._caller

    async def _wait_for_boards(self) -> None:
        """Another client's host may have just begun: it answers before its virtual board is there."""
        while True:
            status = await self._caller.host.get("/v1/status")
            if status["up_s"] > YOUNG_S:
                await self._lent.lend(status["devices"])
                return
            if status["devices"]:
                return
            await anyio.sleep(POLL_S)


class LentBoard:
    """`async with LentBoard(host) as board: await board.lend(devices)`; leaving takes it back.

    Its client has no `attach`: taking a board back starts no host.
    """

    def __init__(self, host: AsyncClient) -> None:
        self._host = host
        self._process: VirtualBoardProcess | None = None

    async def __aenter__(self) -> LentBoard:
        return self

    async def __aexit__(self, *_: Any) -> None:
        if self._process is None:
            return
        try:
            await self._host.delete(f"/v1/devices/{segment(NAME)}")
        except MicroclawError as exc:  # the host has gone, or somebody removed it: the board ends all the same
            _log.warning("%s was not taken out of the host's list: %s", NAME, exc.message)
        finally:
            await self._process.stop()

    async def lend(self, devices: list[dict[str, Any]]) -> None:
        """Add a board if the host has none, or only one that a killed client left behind."""
        left_behind = [device for device in devices if device["name"] == NAME and device["reachable"] is False]
        if self._process is not None or len(left_behind) < len(devices):
            return
        process = VirtualBoardProcess(name=NAME, board=BOARD)
        ready = await process.start()
        try:
            if left_behind:
                await self._host.delete(f"/v1/devices/{segment(NAME)}")
            body = {"name": NAME, "board": BOARD, "transports": list(ready.transports)}
            await self._host.post("/v1/devices", body)
        except MicroclawError as exc:
            _log.warning("no board was lent: %s", exc.message)  # another client was first
            await process.stop()
            return
        except BaseException:
            await process.stop()
            raise
        self._process = process
