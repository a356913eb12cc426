"""A board's end of the link whose effects can be counted after it was killed: `python counting_board.py FOLDER URL CA`.

`count.add {n}` appends a line to FOLDER/added; the board itself keeps one event after the other, and appends its number
to FOLDER/kept once `store_event` said that it is in flash.
"""

from __future__ import annotations

import os
import secrets
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from microclaw.hardware.boards.reader import load_board
from microclaw.virtual.board import Board
from microclaw.virtual.clock import Clock
from microclaw.virtual.link.calls import Method, whole
from microclaw.virtual.link.handler import CallHandler
from microclaw.virtual.link_client.client import LinkClient
from microclaw.virtual.link_client.flash import Flash
from microclaw.virtual.link_client.host_messages import HostMessages
from microclaw.virtual.link_client.identity import LinkAddress
from microclaw.virtual.link_client.state import LinkState
from microclaw.wire.link.messages import Event, Hello, Software, Telemetry
from microclaw.wire.link.values import Value, ValueMap


class Counting:
    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / "added", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def methods(self) -> Mapping[str, Method]:
        return {"count.add": self._add}

    def _add(self, params: ValueMap) -> Value:
        number = whole(params, "n", 0, 10**9)
        os.write(self._file, b"%d\n" % number)
        return {"n": number}


def main(folder: Path, url: str, ca_sha256: str) -> None:
    flash = Flash(folder / "link")
    board = Board(load_board("virtual"), Clock(), storage_dir=folder / "storage")
    methods = Counting(folder).methods()
    hello = Hello(
        secrets.token_bytes(16), Software("counting", "1"), "virtual", tuple(methods), bytes(8), 0, "power_on"
    )
    client = LinkClient(
        flash,
        LinkAddress(url, ca_sha256),
        hello,
        LinkState(),
        measure=lambda: Telemetry(0, 0, ()),
        set_calendar=board.set_calendar,
    )
    calls = CallHandler(methods, flash, client, lambda _: None)
    calls.start()
    messages = HostMessages(flash, client, board.print_line, calls.take, took_speech=lambda _: False)
    client.start(messages.handle)
    kept = os.open(folder / "kept", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    number = len(os.read(kept, 1_000_000).split())
    print("ready", flush=True)
    pause = threading.Event()
    while True:
        # If it is killed after `store_event` and before the line, the number is stored again under another id.
        if client.store_event(Event("tick", {"n": number, "try": secrets.token_hex(4)})):
            os.write(kept, b"%d\n" % number)
            number += 1
        pause.wait(0.005)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
