"""The transport over the link: calls of the one vocabulary, sent to a device that may be away for a while."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, TypeVar, cast

from microclaw.devices.calls import AppInstall, AppList, AppStates, Call, EdgeLog, EdgesRead, LogsRead
from microclaw.devices.log_ring import MAX_LINES
from microclaw.errors import NotSupported
from microclaw.events import EvidenceKind
from microclaw.link_server.device_link import DeviceLink
from microclaw.link_server.programs import install
from microclaw.link_server.values import MAX_CURSOR, ask, params_of, read_value, wire_method
from microclaw.wire.link.messages import Value, ValueMap

R = TypeVar("R")

SCHEME: Final = "link:"
_UPLOAD: Final = frozenset({"apps.begin", "apps.write", "apps.commit"})
_PINS: Final = "edges.read"
MAX_EDGE_PAGES: Final = 256  # as much as a board keeps


class LinkTransport:
    """`link:<the id that the device's credentials name>`. Connections come from the device: nothing is opened here."""

    def __init__(self, link: DeviceLink) -> None:
        self.endpoint = link.endpoint
        self.link = link

    @property
    def online(self) -> bool:
        return self.link.online

    @property
    def capabilities(self) -> frozenset[str]:
        """What the device said it offers, in the words of devices/calls.py, and its log lines."""
        said = self.link.capabilities
        offered = {method for method in _CALLS if method in said}
        if said >= _UPLOAD:
            offered.add(AppInstall.method)
        if AppList.method in said:
            offered.add(AppStates.method)
        if said:
            offered.add(LogsRead.method)
        return frozenset(offered)

    @property
    def evidence(self) -> EvidenceKind:
        return "counted" if _PINS in self.link.capabilities else "reported"

    async def call(self, call: Call[R], timeout_s: float) -> R:
        if call.method not in self.capabilities:
            raise NotSupported(
                f"{self.endpoint} does not offer {call.method}", next_step="microclaw device show lists what it offers"
            )
        return cast("R", await self._do(call, timeout_s))

    async def close(self) -> None:
        """The connection is the device's: it stays."""

    async def _do(self, call: Call[Any], timeout_s: float) -> Any:
        if isinstance(call, LogsRead):
            ring = self.link.log
            return ring.page(call.cursor) if call.cursor < MAX_CURSOR else _end(self.link)
        if isinstance(call, AppInstall):
            await install(self.link, call, timeout_s)
            return None
        method, params = wire_method(call), params_of(call)
        value = await ask(self.link, method, params, idempotent=call.idempotent, timeout_s=timeout_s)
        if isinstance(call, EdgesRead):
            return await self._all_edges(call, value, timeout_s)
        return read_value(call, value, self.endpoint)

    async def _all_edges(self, call: EdgesRead, value: Value, timeout_s: float) -> EdgeLog:
        """A message carries 256 edges: ask on while the device says that there are more."""
        log: EdgeLog = read_value(call, value, self.endpoint)
        for _ in range(MAX_EDGE_PAGES):
            if not (isinstance(value, dict) and value.get("more") is True):
                break
            params: ValueMap = {"cursor": log.cursor}
            value = await ask(self.link, call.method, params, idempotent=True, timeout_s=timeout_s)
            page: EdgeLog = read_value(call, value, self.endpoint)
            log = replace(page, edges=log.edges + page.edges, dropped=log.dropped + page.dropped)
        return log


_CALLS: Final = frozenset(
    {
        "gpio.set", "gpio.get", "adc.read", "pwm.set", "i2c.scan", "i2c.read", "device.info", "device.status",
        "device.restart", "apps.list", "apps.remove", "apps.start", "apps.stop", "apps.undo", "edges.read",
    }
)  # fmt: skip


def _end(link: DeviceLink) -> Any:
    """No line, and the cursor to go on from."""
    page = link.log.page(0)
    for _ in range(MAX_LINES):
        if not page.lines:
            break
        page = link.log.page(page.cursor)
    return page
