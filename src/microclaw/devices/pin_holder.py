"""What it means that a program on a board holds pins for its host. Holds nothing itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol, TypeAlias, runtime_checkable

HeldAs: TypeAlias = Literal["level", "pwm"]


@runtime_checkable
class PinHolder(Protocol):
    """A transport that acts at pins through a program on the board: what it set lasts while that program is there."""

    @property
    def pin_program(self) -> str: ...

    @property
    def held_pins(self) -> Mapping[int, HeldAs]: ...
