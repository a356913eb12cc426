"""Opens voice: the sessions of the link's devices and the server for xiaozhi's firmware. It hears nothing itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from microclaw.agent.inbox import Inbox
from microclaw.api.server import tcp_listener
from microclaw.app.devices import Base, Devices, local_zone
from microclaw.auth.approvals import Approvals
from microclaw.auth.certificates import lan_names
from microclaw.clock import now_ms
from microclaw.errors import ConfigError
from microclaw.link_server.server import LinkServer
from microclaw.link_server.transport import SCHEME
from microclaw.tools.tool import Tool

if TYPE_CHECKING:
    from microclaw.link_server.device_link import DeviceLink
    from microclaw.voice.service import VoiceService
    from microclaw.voice.session import VoiceParts
    from microclaw.voice.xiaozhi.server import XiaozhiServer

VoiceMaker: TypeAlias = "Callable[[Inbox, Approvals], VoiceParts]"
"""Makes the engines and what else every session works with."""
_log = logging.getLogger(__name__)


class HostVoice:
    """Without a maker there is no voice. `tools` are those of devices that are connected; none outside of `serving`."""

    def __init__(self, base: Base, devices: Devices, link: LinkServer | None, make: VoiceMaker | None) -> None:
        self._base = base
        self._devices = devices
        self._link = link
        self._make = make
        self._server: XiaozhiServer | None = None
        self._ota: str | None = None
        self._problem: str | None = None

    def tools(self) -> tuple[Tool[Any], ...]:
        if self._server is None or not self._server.connected:
            return ()
        from microclaw.voice.xiaozhi.tools import xiaozhi_tools

        return xiaozhi_tools(self._devices.registry, self._server.tools_of)

    def xiaozhi_object(self) -> dict[str, Any]:
        """Its state for the host's status; `ota` is what a person types into a device."""
        return {
            "state": "off" if self._server is None else "on",
            "text": self._problem,
            "ota": self._ota,
            "connected": 0 if self._server is None else self._server.connected,
        }

    @asynccontextmanager
    async def serving(self, inbox: Inbox) -> AsyncGenerator[None]:
        """Enter it after the conversations, so that it ends before them. A part that fails is off."""
        wanted = self._base.settings.voice.xiaozhi
        async with AsyncExitStack() as stack:
            if self._make is not None:
                from microclaw.voice.service import VoiceService  # only who is spoken to needs it

                parts = self._make(inbox, self._base.admission.approvals)
                service = VoiceService(parts, now_ms=now_ms, note_taker=self._note_taker)
                await stack.enter_async_context(service.serving())
                self._devices.links.parts.audio.open = service.open_link
                if wanted is not None:
                    await self._open_xiaozhi(wanted, service, stack)
            elif wanted is not None:
                self._off("no engines for speech are set up", "docs/xiaozhi.md says what is needed")
            try:
                yield
            finally:
                self._devices.links.parts.audio.open = None
                self._server = self._ota = None

    async def _open_xiaozhi(self, wanted: str, service: VoiceService, stack: AsyncExitStack) -> None:
        if self._link is None:
            self._off("the host's identity is the link's, and the link is off", "microclaw up --link 127.0.0.1:8443")
            return
        host, _, port = wanted.rpartition(":")
        try:
            hint = "another port: microclaw config set voice.xiaozhi 0.0.0.0:8004"
            listening = stack.enter_context(tcp_listener(host, int(port), next_step=hint))
        except ConfigError as exc:
            self._off(exc.message, exc.next_step or hint)
            return
        from microclaw.voice.xiaozhi.server import OTA_PATH, XiaozhiServer  # it brings an HTTP server

        server = XiaozhiServer(
            voice=service,
            devices=self._devices.registry,
            identity=self._link.identity,
            now_ms=now_ms,
            zone=local_zone(self._base.settings),
        )
        await stack.enter_async_context(server.serving(listening))
        here = await asyncio.to_thread(_reachable, host)
        self._server, self._ota = server, f"http://{here}:{listening.getsockname()[1]}{OTA_PATH}"

    def _off(self, problem: str, next_step: str) -> None:
        self._problem = f"{problem} (next: {next_step})"
        _log.warning("xiaozhi is off: %s", self._problem)

    def _note_taker(self, device_id: str) -> DeviceLink | None:
        known = self._devices.registry.owner_of(f"{SCHEME}{device_id}")
        return None if known is None else self._devices.links.link(device_id)


def _reachable(bound_to: str) -> str:
    """How a device of the LAN reaches this host. The firmware knows no IPv6, and finds no .local names."""
    if bound_to not in ("0.0.0.0", "::"):  # noqa: S104 - it is compared, not bound
        return bound_to
    found = (a for a in lan_names().addresses if a.version == 4 and not a.is_loopback and not a.is_link_local)
    return str(next(found, "127.0.0.1"))
