"""What one boot of the firmware shares between its apps."""

from __future__ import annotations

from msgspec import Struct

from microclaw.virtual.board import Board
from microclaw.virtual.network.reach import Connect
from microclaw.virtual.nodes.ledc import Ledc
from microclaw.wire.wasmachine.attributes import Generation


class FirmwareBoot(Struct, frozen=True):
    """The board, its LEDC peripheral, how the firmware is built, and how its apps reach others if they may."""

    board: Board
    ledc: Ledc
    generation: Generation
    connect: Connect | None
