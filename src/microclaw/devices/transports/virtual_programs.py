"""The Python programs of a virtual board, over its control socket. Those in C go by its WASMachine port."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from microclaw.devices.registry.calls import AppEntry, AppInstall, AppPage, silent_page_error
from microclaw.devices.registry.page_pieces import read_page
from microclaw.errors import DeviceTimeout, DeviceUnreachable
from microclaw.wire import board_control as wire
from microclaw.wire import board_replies as replies

PIECE_BYTES: Final = 4_096

AskBoard: TypeAlias = Callable[[wire.Request[Any], float], Awaitable[Any]]
"""Sends a control request and waits so many seconds for its answer."""


class VirtualPrograms:
    """Calls for the Python programs of one board."""

    def __init__(self, ask: AskBoard, endpoint: str) -> None:
        self._ask = ask
        self._endpoint = endpoint

    async def list(self, timeout_s: float) -> tuple[AppEntry, ...]:
        """Return the Python programs. Raises DeviceUnreachable without power: what is installed is not known."""
        info: replies.BoardInfo = await self._ask(wire.Info(), timeout_s)
        if not info.powered:
            raise DeviceUnreachable(f"{self._endpoint} has no power", next_step="switch its power on")
        entries = []
        for row in await self._rows(timeout_s):
            if row.kind == "py":
                entries.append(AppEntry(row.name, row.heap_bytes))
        return tuple(entries)

    async def has(self, name: str, timeout_s: float) -> bool:
        """Return True if this is the name of a Python program there."""
        return any(row.name == name and row.kind == "py" for row in await self._rows(timeout_s))

    async def install(self, call: AppInstall, timeout_s: float) -> None:
        """Install and start a program. Raises CallRejected with the board's words if it refuses it."""
        image = call.code
        program = {
            "name": call.name,
            "kind": "py",
            "size": len(image),
            "sha256": hashlib.sha256(image).hexdigest(),
            "heap": call.heap_bytes,
            "autostart": call.autostart,
            "every_ms": call.every_ms or 0,
            "stop_after_ms": call.stop_after_ms or 0,
            "hosts": call.network.hosts,
            "ports": call.network.ports,
        }
        await self._ask(wire.Py("begin", program), timeout_s)
        for offset in range(0, len(image), PIECE_BYTES):
            piece = b64encode(image[offset : offset + PIECE_BYTES]).decode()
            await self._ask(wire.Py("write", {"offset": offset, "data": piece}), timeout_s)
        await self._ask(wire.Py("commit"), timeout_s)

    async def remove(self, name: str, timeout_s: float) -> None:
        await self._ask(wire.Py("remove", {"name": name}), timeout_s)

    async def page(self, call: AppPage, timeout_s: float) -> bytes:
        """Have a program answer an HTTP request. Raises ProgramSilent if the answer is not whole in time."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        try:
            async with asyncio.timeout_at(deadline):
                return await read_page(call, self._ask_piece, deadline, self._endpoint)
        except (TimeoutError, DeviceTimeout) as exc:
            raise silent_page_error(call.name) from exc

    async def _rows(self, timeout_s: float) -> tuple[replies.AppRow, ...]:
        answer: replies.AppListReply = await self._ask(wire.Apps(), timeout_s)
        return answer.apps

    async def _ask_piece(self, params: dict[str, Any], timeout_s: float) -> object:
        order = dict(params)
        request = order.pop("request", None)
        if request is not None:
            order["data"] = b64encode(request).decode()
        reply: replies.PyAnswer = await self._ask(wire.Py("page", order), timeout_s)
        piece: Any = reply.value
        return {**piece, "answer": b64decode(piece["answer"])}
