"""Transports of boards on a port of another host's machine: each call goes to that host, and to no other.

Such a transport offers the same as it would here; it opens nothing here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, TypeVar

from microclaw.devices.registry.calls import Call
from microclaw.devices.registry.remote_calls import RemoteCalls
from microclaw.devices.registry.transport import Transport
from microclaw.errors import DeviceUnreachable
from microclaw.events import EvidenceKind, ProgramKind
from microclaw.hardware.boards.profile import BoardProfile

R = TypeVar("R")
HostOfName: TypeAlias = Callable[[str], str | None]
"""Returns the id of the live host of that name; None if it is away."""


class PortElsewhere(Transport):
    """A transport at the host named `host`. Only that host knows which pins a program there holds."""

    def __init__(self, transport: Transport, host: str, remote: RemoteCalls, host_of_name: HostOfName) -> None:
        # It answers questions about the transport, but is never called.
        self._as_here = transport
        self.endpoint = transport.endpoint
        self._host = host
        self._remote = remote
        self._host_of_name = host_of_name

    @property
    def capabilities(self) -> frozenset[str]:
        return self._as_here.capabilities

    @property
    def kinds(self) -> tuple[ProgramKind, ...]:
        return self._as_here.kinds

    @property
    def evidence(self) -> EvidenceKind:
        return self._as_here.evidence

    @property
    def pin_program(self) -> str | None:
        return self._as_here.pin_program

    def describe(self, board: BoardProfile) -> None:
        self._as_here.describe(board)

    async def call(self, call: Call[R], timeout_s: float) -> R:
        """Do a call at the port's host, as Transport.call does. DeviceUnreachable names the host if it is away."""
        host_id = self._host_of_name(self._host)
        if host_id is None:
            raise DeviceUnreachable(
                f"{self.endpoint} is on the machine of host {self._host}, which is away: {call.method} was not sent",
                next_step=f"start microclaw on {self._host}; which hosts are there: microclaw status --cluster",
            )
        return await self._remote.call(host_id, self.endpoint, call, timeout_s)
