"""A device's transport over its link: calls of the one vocabulary, programs in pieces. The device may be away."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from typing import Any, Final, TypeVar, cast

from microclaw.devices.calls import AppInstall, AppList, AppStates, Call, EdgeLog, EdgesRead, LogsRead
from microclaw.errors import DeviceTimeout, NotSupported, ProtocolError
from microclaw.events import EvidenceKind
from microclaw.link_server.device_link import DeviceLink
from microclaw.link_server.values import MAX_CURSOR, Asked, ask, params_of, read_value, wire_method
from microclaw.wire.link.messages import Value, ValueMap

R = TypeVar("R")

SCHEME: Final = "link:"
_UPLOAD: Final = frozenset({"apps.begin", "apps.write", "apps.commit"})
_PINS: Final = "edges.read"
MAX_EDGE_PAGES: Final = 256  # as much as a board keeps
CHUNK_BYTES: Final = 4096
MAX_RESUMES: Final = 4
_PIECE_S: Final = 5.0


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
            return ring.page(call.cursor) if call.cursor < MAX_CURSOR else ring.end()
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


async def install(link: Asked, call: AppInstall, timeout_s: float) -> None:
    """Begin, write in pieces (resumed by offset), commit (checked by hash). Raises DeployRejected, DeviceError.

    The program starts, and comes back by itself after a power cut.
    After OutcomeUnknown the device may or may not have it: `apps.list` tells.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    for attempt in range(MAX_RESUMES + 1):
        try:
            await _upload(link, call, deadline)
            break
        except DeviceTimeout:
            # A piece or its answer was lost with a connection: begin again tells where to go on.
            if attempt == MAX_RESUMES or loop.time() >= deadline:
                raise
    left_s = deadline - loop.time()
    await ask(link, "apps.commit", {}, idempotent=False, timeout_s=max(left_s, 0.001))


async def _upload(link: Asked, call: AppInstall, deadline: float) -> None:
    wasm = call.wasm
    begin: dict[str, Value] = {
        "name": call.name,
        "kind": "wasm",
        "size": len(wasm),
        "sha256": hashlib.sha256(wasm).digest(),
        "heap": call.heap_bytes,
        "autostart": True,
    }
    left_s = _left_s(deadline)
    offset = _offset(link, await ask(link, "apps.begin", begin, idempotent=True, timeout_s=left_s), 0, len(wasm))
    while offset < len(wasm):
        piece: dict[str, Value] = {"offset": offset, "data": wasm[offset : offset + CHUNK_BYTES]}
        limit_s = min(_left_s(deadline), _PIECE_S)
        answer = await ask(link, "apps.write", piece, idempotent=True, timeout_s=limit_s)
        offset = _offset(link, answer, offset + 1, len(wasm))


def _offset(link: Asked, value: Value, least: int, most: int) -> int:
    offset = value.get("offset") if isinstance(value, dict) else value
    if type(offset) is not int or not least <= offset <= most:
        raise ProtocolError(
            f"{link.endpoint} answered an upload with the offset {offset!r:.40}, expected {least} to {most}",
            next_step="restart the device, then deploy again",
        )
    return offset


def _left_s(deadline: float) -> float:
    left_s = deadline - asyncio.get_running_loop().time()
    if left_s <= 0:
        raise DeviceTimeout("the upload took too long; nothing was started", next_step="try again")
    return left_s
