"""The simulated board for MicroPython's unix port: its drivers behind a TCP port, for tests of firmware/.

`with Bench(board, folder) as bench:` run micropython with MICROPYPATH=MODULES:... and MICROCLAW_BOARD=bench.address.
JSON lines: one connection says ["calls"], then asks [name, arguments]; one says ["events"] and is sent events
[kind, number, ...].
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from microclaw.link_client.hanging_up import hang_up
from microclaw.virtual.board import Board
from microclaw.virtual.py import peripherals
from microclaw.virtual.py.chip import WDT_RESET
from microclaw.virtual.py.drivers import Hooks
from microclaw.virtual.py.peripherals import Peripherals

_HOST: Final = Path(__file__).parents[2] / "firmware" / "on_bench"
MODULES: Final = f"{Path(peripherals.__file__).parent / 'modules'}:{_HOST}"
"""machine.py and the others, as MicroPython source, and what they reach this bench by."""
_log = logging.getLogger(__name__)


class Bench:
    """`resets` are the causes of the resets that the firmware asked for: the test starts the interpreter again."""

    def __init__(self, board: Board, folder: Path) -> None:
        self.board = board
        self._folder = folder
        self._rtc: dict[str, int] = {}
        self.resets: list[int] = []
        self.has_reset = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._events: socket.socket | None = None
        self._has_events = threading.Event()
        self._clients: list[socket.socket] = []
        self.peripherals = self._new_peripherals()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        for target in (self._serve, self._push):
            threading.Thread(target=target, name=f"bench-{target.__name__}", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        hang_up(self._listener)
        for client in self._clients:
            hang_up(client)
        self.peripherals.close()

    def power_cut(self) -> None:
        """Lose what RAM and pins held; a new interpreter may connect then. The test kills the old one."""
        self._restart({})
        self.board.power_cut()
        self.board.power_on()

    def _restart(self, rtc: dict[str, int]) -> None:
        self.peripherals.close()
        self._rtc.clear()
        self._rtc.update(rtc)
        self.peripherals = self._new_peripherals()

    def _new_peripherals(self) -> Peripherals:
        hooks = Hooks(
            self._has_events.set, lambda ms: time.sleep(ms / 1000), self._reset, lambda: self._reset(WDT_RESET)
        )
        return Peripherals(self.board, self._folder, self._rtc, hooks)

    def _reset(self, cause: int) -> None:
        self._rtc["cause"] = cause
        self.resets.append(cause)
        self.has_reset.set()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._clients.append(client)
            threading.Thread(target=self._answer, args=(client,), name="bench-client", daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with client.makefile("rb") as lines:
            try:
                if json.loads(lines.readline()) == ["events"]:
                    self._events = client
                    self._has_events.set()
                    return
                for line in lines:
                    name, arguments = json.loads(line)
                    answer = json.loads(self.peripherals.perform(name, json.dumps(arguments)))
                    client.sendall(json.dumps([*answer[:2], 0]).encode() + b"\n")  # events go their own way
            except (OSError, ValueError):
                _log.debug("an interpreter left the bench", exc_info=True)

    def _push(self) -> None:
        while self._has_events.wait():
            self._has_events.clear()
            listener = self._events
            if listener is None or not self.peripherals.has_events:
                continue
            events = json.loads(self.peripherals.perform("events", "[]"))[0]
            try:
                listener.sendall(b"".join(json.dumps(event).encode() + b"\n" for event in events))
            except OSError:
                self._events = None
