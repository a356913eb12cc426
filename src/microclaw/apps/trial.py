"""Try a program on a throw-away virtual board before it touches a real one. Judges nothing about the real board."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from microclaw.boards.profile import BoardProfile
from microclaw.bus.events import Edge
from microclaw.wasm.image import Image

Ended: TypeAlias = Literal["running", "returned", "exited", "trapped"]


@dataclass(frozen=True, slots=True)
class TrialInput:
    """A level that comes in at a pin from outside, `at_ms` after the program's start."""

    pin: int
    level: int
    at_ms: float = 0.0


def parse_input(text: str) -> TrialInput:
    """Read "1=1@2s" (pin 1 goes high after 2 s; ms, s, min; no @ means from the start). Raises ConfigError."""
    raise NotImplementedError


def parse_duration_ms(text: str) -> float:
    """Read "10s", "500ms", "2min", "1h" or a plain number of seconds. Raises ConfigError."""
    raise NotImplementedError


@dataclass(frozen=True, slots=True)
class TrialTerms:
    """How long in board time, with which inputs and under which install terms a program is tried."""

    for_ms: float = 10_000
    inputs: tuple[TrialInput, ...] = ()
    seed: int = 0
    realtime: bool = False
    heap_bytes: int = 8192
    timers: int = 20
    watchdog_ms: int = 180_000


@dataclass(frozen=True, slots=True)
class Trial:
    """What the program did on the virtual board. Edge and log times are ms since its installation.

    `ok` is False when it would be of no use on a real board; then `error` and `next_step` say why. `pins` are
    those it opened; `board_ms` the board time that passed, `took_ms` the host's.
    """

    ok: bool
    ended: Ended
    log: tuple[str, ...]
    edges: tuple[Edge, ...]
    pwm: tuple[tuple[float, int, int, int], ...]  # t_ms, pin, duty 0-255, frequency_hz
    pins: tuple[int, ...]
    peak_heap_bytes: int
    peak_stack_bytes: int
    warnings: tuple[str, ...]
    board_ms: float
    took_ms: float
    error: str | None = None
    next_step: str | None = None

    @property
    def first_edge_ms(self) -> float | None:
        return self.edges[0].t_ms if self.edges else None

    def summary(self) -> str:
        """One line: "10 s of board time in 0.2 s: 20 edges on pin 2, 0.500 s apart"."""
        raise NotImplementedError

    def raise_if_failed(self) -> None:
        """Raise TrialFailed with the error and the next step unless the trial went well."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """The document of `try --json` (schema microclaw.try/1)."""
        raise NotImplementedError


async def try_image(
    image: Image, board: BoardProfile, terms: TrialTerms | None = None, *, standby: Standby | None = None
) -> Trial:
    """Install `image` on a throw-away virtual board through the real protocol and let its time run.

    A program that misbehaves gives a Trial with ok=False; raises DeviceError only when the board itself cannot be
    started or dies. Cancelling ends the board.
    """
    raise NotImplementedError


class Standby:
    """Keeps one virtual board warm for the next trial: `async with Standby("virtual") as standby`."""

    def __init__(self, board_id: str = "virtual") -> None: ...

    def refill(self) -> None:
        """Start the next warm board in the background, when the present work is done."""
