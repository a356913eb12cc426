"""The chat gateway's address at once, its server as soon as the host answers. It reads no message."""

from __future__ import annotations

import asyncio
import importlib
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from microclaw.agent.inbox import Inbox
from microclaw.auth.admission import Admission
from microclaw.config import GatewaySettings

if TYPE_CHECKING:
    from microclaw.api.gateway import Gateway

_SERVER: Final = "microclaw.api.gateway"


class GatewayDoor:
    """Clients that come before `open` wait in the kernel's queue: a WebSocket library must not delay the host."""

    def __init__(self, settings: GatewaySettings, inbox: Inbox, admission: Admission, listener: socket.socket) -> None:
        host, port = listener.getsockname()[:2]
        self.address = f"ws://{f'[{host}]' if ':' in host else host}:{port}"
        self._settings = settings
        self._inbox = inbox
        self._admission = admission
        self._listener = listener
        self._gateway: Gateway | None = None
        self._opening = asyncio.Event()
        self._leaving = asyncio.Event()

    @property
    def clients(self) -> int:
        return self._gateway.clients if self._gateway is not None else 0

    def open(self) -> None:
        self._opening.set()

    def close(self) -> None:
        """Begin to say goodbye; `kept` ends when it is said."""
        self._leaving.set()

    @asynccontextmanager
    async def kept(self, group: asyncio.TaskGroup) -> AsyncGenerator[None]:
        """Leaving it says goodbye to every client."""
        serving = group.create_task(self._serve(), name="the chat gateway")
        try:
            yield
        finally:
            self.close()
            if not self._opening.is_set():
                serving.cancel()
            await asyncio.wait((serving,))

    async def _serve(self) -> None:
        await self._opening.wait()
        module = await asyncio.to_thread(importlib.import_module, _SERVER)
        if self._leaving.is_set():
            return
        self._gateway = gateway = module.Gateway(
            self._settings, inbox=self._inbox, tokens=self._admission.tokens, approvals=self._admission.approvals
        )
        async with gateway.serving(self._listener):
            await self._leaving.wait()
