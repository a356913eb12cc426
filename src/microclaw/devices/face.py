"""A face: one way into a device. The Protocol only; the IO lives in faces/."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

from microclaw.boards.profile import BoardProfile
from microclaw.bus.events import EvidenceKind
from microclaw.devices.calls import Call

R = TypeVar("R")


class Face(Protocol):
    """Turns calls into one protocol. It connects at the first call and may be called again after any error."""

    @property
    def face_id(self) -> str:
        """The address a person may type: wasmachine://host:port, serial:/dev/..., virtual:/path."""

    @property
    def capabilities(self) -> frozenset[str]:
        """The methods this face offers."""

    @property
    def evidence(self) -> EvidenceKind:
        """What an answer through this face proves."""

    async def call(self, call: Call[R], timeout_s: float) -> R:
        """Do it. Raises DeviceError; after DeviceTimeout the outcome of a call that is not idempotent is unknown."""

    async def close(self) -> None:
        """Give the connection back; the next call opens a new one."""


@runtime_checkable
class Presence(Protocol):
    """A face whose device comes and goes by itself: nobody can open it, a call waits for the device."""

    @property
    def online(self) -> bool: ...


FaceOpener: TypeAlias = Callable[[str, BoardProfile], Face]
