"""A device's transport in a cluster: its link is at this host, at another one, or nowhere yet, also in mid-call.

A call goes where the device is. It is made again at another host only where that is safe: DeviceMoved says so.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from microclaw.devices.calls import Call, DeviceFacts, DeviceRestart, DeviceStatus, Restart
from microclaw.errors import DeviceError, DeviceMoved, OutcomeUnknown
from microclaw.link_server.device_link import DeviceLink, RemoteDevices
from microclaw.link_server.transport import LinkTransport

# This host may hear of a device's move later than the one that it asked, and of a dead host only when its lease ends.
_FIRST_WAIT_S: Final = 0.02
_LONGEST_WAIT_S: Final = 0.5


class ClusterLinkTransport(LinkTransport):
    def __init__(self, link: DeviceLink, remote: RemoteDevices) -> None:
        super().__init__(link)
        self._remote = remote

    @property
    def here(self) -> LinkTransport:
        """It asks no other host."""
        return LinkTransport(self.link)

    @property
    def online(self) -> bool:
        return self.link.anywhere

    async def _do(self, call: Call[Any], timeout_s: float) -> Any:
        loop = asyncio.get_running_loop()
        began = loop.time()
        deadline = began + timeout_s
        try:
            return await self._wherever_it_is(call, deadline)
        except OutcomeUnknown:
            if not isinstance(call, DeviceRestart) or not await self._began_after(began, deadline):
                raise
            return Restart(round(loop.time() - began, 1))

    async def _began_after(self, began: float, deadline: float) -> bool:
        """True if the device is in a boot that began since: the host that asked it to restart may not see that."""
        if asyncio.get_running_loop().time() >= deadline:
            return False
        try:
            told: DeviceFacts = await self._wherever_it_is(DeviceStatus(), deadline)
        except DeviceError:
            return False
        uptime_ms = told.values.get("uptime_ms")
        now = asyncio.get_running_loop().time()
        return type(uptime_ms) in (int, float) and 0 <= float(uptime_ms or 0) / 1000 < now - began

    async def _wherever_it_is(self, call: Call[Any], deadline: float) -> Any:
        loop, wait_s = asyncio.get_running_loop(), _FIRST_WAIT_S
        while True:
            try:
                return await self._do_once(call, deadline - loop.time())
            except DeviceMoved:
                if deadline - loop.time() <= wait_s:
                    raise
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, _LONGEST_WAIT_S)

    async def _do_once(self, call: Call[Any], timeout_s: float) -> Any:
        host = self.link.other_host
        if host is None:
            return await super()._do(call, timeout_s)
        return await self._remote.call(host, self.endpoint, call, timeout_s)
