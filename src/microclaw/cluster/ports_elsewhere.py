"""Transports of boards on a port of another host's machine: each call goes to that host, and to no other.

What such a transport offers is what it would offer here; it opens nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar, cast

from microclaw.boards.profile import BoardProfile
from microclaw.cluster.remote_calls import RemoteCalls
from microclaw.devices.calls import Call
from microclaw.devices.device import BoardTransport, Transport
from microclaw.devices.pin_holder import HeldAs, PinHolder
from microclaw.errors import DeviceUnreachable
from microclaw.events import EvidenceKind, ProgramKind

R = TypeVar("R")
HostOfName: TypeAlias = Callable[[str], str | None]
"""The id of the live host of that name; None when it is away."""


def port_elsewhere(transport: Transport, host: str, remote: RemoteCalls, host_of_name: HostOfName) -> Transport:
    """`transport` as it is at the host named `host`."""
    is_board = isinstance(transport, BoardTransport) and isinstance(transport, PinHolder)
    return (_BoardElsewhere if is_board else PortElsewhere)(transport, host, remote, host_of_name)


class PortElsewhere:
    """A transport at the host named `host`."""

    def __init__(self, transport: Transport, host: str, remote: RemoteCalls, host_of_name: HostOfName) -> None:
        self._as_here: Any = transport  # never called
        self.endpoint = transport.endpoint
        self._host = host
        self._remote = remote
        self._host_of_name = host_of_name

    @property
    def capabilities(self) -> frozenset[str]:
        return cast("Transport", self._as_here).capabilities

    @property
    def kinds(self) -> tuple[ProgramKind, ...]:
        return cast("Transport", self._as_here).kinds

    @property
    def evidence(self) -> EvidenceKind:
        return cast("Transport", self._as_here).evidence

    async def call(self, call: Call[R], timeout_s: float) -> R:
        """As Transport.call. DeviceUnreachable names the host when it is away."""
        host_id = self._host_of_name(self._host)
        if host_id is None:
            raise DeviceUnreachable(
                f"{self.endpoint} is on the machine of host {self._host}, which is away: {call.method} was not sent",
                next_step=f"start microclaw on {self._host}; which hosts are there: microclaw status --cluster",
            )
        return await self._remote.call(host_id, self.endpoint, call, timeout_s)

    async def close(self) -> None:
        """Nothing is open."""


class _BoardElsewhere(PortElsewhere):
    """One that looks at its board's profile, and acts at pins through a program on the board.

    Which pins that program holds is known at its host alone.
    """

    @property
    def board(self) -> BoardProfile:
        return cast("BoardTransport", self._as_here).board

    @board.setter
    def board(self, board: BoardProfile) -> None:
        self._as_here.board = board

    @property
    def pin_program(self) -> str:
        return cast("PinHolder", self._as_here).pin_program

    @property
    def held_pins(self) -> Mapping[int, HeldAs]:
        return {}
