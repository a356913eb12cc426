"""A device with xiaozhi's firmware: it is spoken to (voice/xiaozhi), offers no pins and runs no programs."""

from __future__ import annotations

from typing import TypeVar

from microclaw.devices.calls import Call
from microclaw.devices.transport import Transport
from microclaw.errors import ConfigError, NotSupported, ProtocolError
from microclaw.wire.xiaozhi import SCHEME, read_mac

R = TypeVar("R")


class XiaozhiTransport(Transport):
    """`xiaozhi:aa:bb:cc:dd:ee:ff`. The device connects when it is spoken to, and offers no call."""

    def __init__(self, endpoint: str) -> None:
        try:
            self.endpoint = SCHEME + read_mac(endpoint.removeprefix(SCHEME))
        except ProtocolError as exc:
            raise ConfigError(
                f"{endpoint!r} is no address of a device", next_step="write it like xiaozhi:aa:bb:cc:dd:ee:ff"
            ) from exc

    async def call(self, call: Call[R], timeout_s: float) -> R:  # noqa: ARG002 - nothing takes time here
        raise NotSupported(f"{self.endpoint} does not offer {call.method}", next_step="speak to it: docs/xiaozhi.md")
