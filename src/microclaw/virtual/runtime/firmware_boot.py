"""What one boot of the firmware shares between its apps."""

from __future__ import annotations

from msgspec import Struct

from microclaw.virtual.board import Board
from microclaw.virtual.nodes.ledc import Ledc
from microclaw.wire.wasmachine.attributes import Generation


class FirmwareBoot(Struct, frozen=True):
    """The board, its LEDC peripheral, and how the firmware is built. `has_network`: its apps reach others."""

    board: Board
    ledc: Ledc
    generation: Generation
    has_network: bool
