"""One way to a device: it turns the calls of calls.py into a protocol. It queues nothing and checks no answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal, Self, TypeAlias, TypeVar

from microclaw.boards.profile import BoardProfile
from microclaw.devices.calls import Call
from microclaw.errors import NotSupported
from microclaw.events import EvidenceKind, ProgramKind

R = TypeVar("R")
HeldAs: TypeAlias = Literal["level", "pwm"]
LINK_SCHEME: Final = "link:"


class Transport:
    """It connects at the first call and may be called again after any error.

    `endpoint` is the address a person may type: wasmachine://host:port, serial:/dev/..., virtual:/path. A device that
    `connects_itself` cannot be connected to from here: a call waits for it.
    """

    endpoint: str
    connects_itself: ClassVar[bool] = False

    @property
    def capabilities(self) -> frozenset[str]:
        """The methods this transport offers."""
        return frozenset()

    @property
    def kinds(self) -> tuple[ProgramKind, ...]:
        """The kinds of programs that `apps.install` takes here, the one it is made for first."""
        return ()

    @property
    def evidence(self) -> EvidenceKind:
        """The evidence that an answer through this transport is."""
        return "accepted"

    @property
    def online(self) -> bool:
        return True

    @property
    def revoked(self) -> bool:
        """True if it does not come back by itself: nothing that it has opens this host."""
        return False

    @property
    def here(self) -> Transport | Self:
        """This host's own part, where the device may be connected to another host of the cluster."""
        return self

    @property
    def pin_program(self) -> str | None:
        """The program on the board that acts at its pins: what it set lasts while it is there. None: the firmware."""
        return None

    @property
    def held_pins(self) -> Mapping[int, HeldAs]:
        """The pins that this program holds now, as far as this host asked."""
        return {}

    def describe(self, board: BoardProfile) -> None:
        """The board's profile, which changes when a person describes the firmware."""

    async def call(self, call: Call[R], timeout_s: float) -> R:
        """Do it. Raises DeviceError; after DeviceTimeout the outcome of a call that is not idempotent is unknown."""
        raise NotImplementedError

    async def close(self) -> None:
        """Give the connection back; the next call opens a new one."""

    def not_offered(self, call: Call[Any]) -> NotSupported:
        """The error of a call that it has no method for."""
        offered = ", ".join(sorted(self.capabilities))
        return NotSupported(f"{self.endpoint} does not offer {call.method}", next_step=f"it offers {offered}")
