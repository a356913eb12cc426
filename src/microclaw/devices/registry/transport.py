"""One way to a device: it turns the calls of calls.py into a protocol. It queues nothing and checks no answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal, Self, TypeAlias, TypeVar

from microclaw.devices.registry.calls import Call
from microclaw.errors import NotSupported
from microclaw.events import EvidenceKind, ProgramKind
from microclaw.hardware.boards.profile import BoardProfile

R = TypeVar("R")
HeldAs: TypeAlias = Literal["level", "pwm"]
LINK_SCHEME: Final = "link:"


class Transport:
    """A way to one device. It connects at the first call and may be called again after any error.

    `endpoint` is the address that a person may type: wasmachine://host:port, serial:/dev/..., virtual:/path. The host
    cannot connect to a device that `connects_itself`: a call waits for it.
    """

    endpoint: str
    connects_itself: ClassVar[bool] = False

    @property
    def capabilities(self) -> frozenset[str]:
        """The methods that this transport offers."""
        return frozenset()

    @property
    def kinds(self) -> tuple[ProgramKind, ...]:
        """The kinds of programs that `apps.install` takes here; the first is the kind it is made for."""
        return ()

    @property
    def evidence(self) -> EvidenceKind:
        """The kind of evidence that an answer through this transport gives."""
        return "accepted"

    @property
    def online(self) -> bool:
        """Whether the device can be asked now."""
        return True

    @property
    def revoked(self) -> bool:
        """Whether the device cannot come back by itself: its credentials do not open this host."""
        return False

    @property
    def here(self) -> Transport | Self:
        """This host's own part, if the device may be connected to another host of the cluster."""
        return self

    @property
    def pin_program(self) -> str | None:
        """The program on the board that sets its pins; a level lasts only while it runs. None: the firmware does."""
        return None

    @property
    def held_pins(self) -> Mapping[int, HeldAs]:
        """The pins that this program holds now, as far as this host asked."""
        return {}

    def describe(self, board: BoardProfile) -> None:
        """Take the board's profile, which changes when a person describes the firmware."""

    async def call(self, call: Call[R], timeout_s: float) -> R:
        """Send a call and return its answer.

        Raises DeviceError; after DeviceTimeout the outcome of a call that is not idempotent is unknown.
        """
        raise NotImplementedError

    async def close(self) -> None:
        """Give the connection back. The device is not called through this transport any more."""

    def not_offered(self, call: Call[Any]) -> NotSupported:
        """Build the error for a call that this transport does not offer."""
        offered = ", ".join(sorted(self.capabilities))
        return NotSupported(f"{self.endpoint} does not offer {call.method}", next_step=f"it offers {offered}")
