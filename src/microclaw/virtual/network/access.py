"""What the network clients of one app need of it and its board. Knows no protocol.

A board that may use no network has a canned one: lines of expectations answer then.
"""

from __future__ import annotations

from typing import Final

from microclaw.text import clean_text
from microclaw.virtual.network.canned import CannedNetwork
from microclaw.virtual.runtime.event_queue import Delivery, EventQueue
from microclaw.virtual.runtime.firmware_boot import FirmwareBoot
from microclaw.virtual.runtime.program_time import ProgramTime
from microclaw.wire.board_replies import NO_NETWORK

MAX_CLIENTS: Final = 4
"""Of each kind; a chip's RAM has room for few more."""


class NetworkAccess:
    """The board's permission, its console and clock, and the app's queue of events and its time."""

    def __init__(self, boot: FirmwareBoot, name: str, events: EventQueue, time: ProgramTime) -> None:
        self.connect = boot.connect
        self.generation = boot.generation
        self.clock = boot.board.clock
        self.time = time
        self._board = boot.board
        self._name = name
        self._events = events
        self._refused: set[str] = set()

    @property
    def canned(self) -> CannedNetwork | None:
        """The network that answers in place of a real one; None if the board may use that."""
        network = self._board.network
        if self.connect is not None or not isinstance(network, CannedNetwork):
            return None
        return network

    def say(self, protocol: str, text: str) -> None:
        """Print a line of the firmware's."""
        line = clean_text(text, one_line=True, limit=200)
        self._board.print_line(f"{self._name}: {protocol}: {line}")

    def refuse(self, protocol: str, host: str, why: str | None = None) -> None:
        """Say, once for each host, that it is not tried."""
        if len(self._refused) < MAX_CLIENTS and f"{protocol} {host}" not in self._refused:
            words = NO_NETWORK if why is None else f"was not tried: {why}"
            self._refused.add(f"{protocol} {host}")
            self.say(protocol, f"{clean_text(host, one_line=True, limit=80)} {words}")

    def deliver(self, export: str, data: bytes, *leading: int) -> bool:
        """Queue a call of an export of the app; return False if its queue is full or closed."""
        return self._events.post(Delivery(export, data, leading))
