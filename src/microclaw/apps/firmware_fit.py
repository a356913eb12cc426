"""Checks that an installation fits the firmware that a person described. Compiles and sends nothing.

Imports, device files and sizes are checked by wasm/checks.py, on the profile that the description made. Here is what an
installation asks for beside its module.
"""

from __future__ import annotations

from typing import Final

from microclaw.apps.building import ProgramImage
from microclaw.boards.profile import BoardProfile
from microclaw.errors import DeployRejected
from microclaw.wire.wasmachine.request import DEFAULT_HEAP_BYTES, DEFAULT_TIMERS

PY_CLAIM_BYTES: Final = 4096
"""Eight such programs fit onto a board without PSRAM (firmware/fw/board.py)."""


def fit_limits(board: BoardProfile, heap_bytes: int, timers: int) -> tuple[int, int]:
    """Heap and timers to install with. DeployRejected when more was asked for than the firmware gives.

    The defaults, which nobody asked for, shrink to that.
    """
    firmware = board.firmware
    limits = (
        ("bytes of heap", heap_bytes, DEFAULT_HEAP_BYTES, firmware.max_heap_bytes),
        ("timers", timers, DEFAULT_TIMERS, firmware.max_timers),
    )
    fitting = []
    for what, asked, default, limit in limits:
        if limit is None or asked <= limit:
            fitting.append(asked)
        elif asked == default:
            fitting.append(limit)
        else:
            raise DeployRejected(
                f"it asks for {asked} {what}; the firmware of {board.title} gives {limit}, as it was described",
                next_step=f"ask for {limit}, or correct the description: microclaw device explore NAME",
            )
    return fitting[0], fitting[1]


def fit_claim(image: ProgramImage, heap_bytes: int) -> int:
    """The memory that a program claims: of a Python program by its size, when nobody said how much.

    Measured over the programs of tests/vectors/natural_py: 1.6 KB on average, of which the code is twice its .mpy.
    """
    if image.kind != "py" or heap_bytes != DEFAULT_HEAP_BYTES:
        return heap_bytes
    return max(PY_CLAIM_BYTES, -(-(2 * image.size_bytes + 2048) // 1024) * 1024)
