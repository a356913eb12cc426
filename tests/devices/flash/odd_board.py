"""A board that is none, or lies: the other end of a pty, where a thread says what a test wants."""

from __future__ import annotations

import os
import select
import threading
import tty
from collections.abc import Callable
from typing import TypeAlias

from tests.devices.flash.pty_board import BANNER

Talk: TypeAlias = Callable[[bytes], bytes]
"""What goes back for what came; asked again and again with b"" while nothing comes."""
PATIENCE_S = 20.0


class OddBoard:
    """`port` is what to give to -p. `closes`: it is gone with the first byte that comes."""

    def __init__(self, talk: Talk, *, closes: bool = False) -> None:
        self._talk = talk
        self._closes = closes
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.port = os.ttyname(self._slave)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="odd board", daemon=True)

    def __enter__(self) -> OddBoard:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_S)
        for fd in (self._master, self._slave):
            if fd >= 0:
                os.close(fd)

    def _serve(self) -> None:
        waiting = b""
        while not self._stop.is_set():
            readable, writable, _ = select.select([self._master], [self._master] if waiting else [], [], 0.02)
            if readable:
                data = os.read(self._master, 4096)
            else:
                data = b""
            if data and self._closes:
                # The other end stays open: while it does, no other board gets this port's number.
                os.close(self._master)
                self._master = -1
                return
            if data or len(waiting) < 4096:  # it prints on while nobody reads, and loses it, as a board does
                waiting += self._talk(data)
            if writable:
                waiting = waiting[os.write(self._master, waiting[:4096]) :]


class LyingMicroPython:
    """A raw REPL whose answers a test wrote: `answers` has what is printed for code in which a word stands."""

    SURVEY = (
        b'{"version": [1, 26, 1], "machine": "x with ESP32", "mpy": 6, "heap": 160000, "room": 900000, "ours": true}'
    )

    def __init__(self, answers: dict[str, bytes]) -> None:
        self._answers = {**answers, "ilistdir": answers.get("ilistdir", self.SURVEY)}
        self._paste: bytes | None = None

    def __call__(self, data: bytes) -> bytes:
        said = b""
        for at in range(len(data)):
            said += self._type(data[at : at + 1], data[at : at + 3])
        return said

    def _type(self, byte: bytes, here: bytes) -> bytes:
        if self._paste is not None:
            if byte != b"\x04":
                self._paste += byte
                return b""
            code = self._paste.decode()
            self._paste = None
            printed = next((text for word, text in self._answers.items() if word in code), b"")
            return b"\x04" + printed + b"\x04\x04>"
        if byte == b"\x05":  # A and 0x01 that follow become part of what is not read
            self._paste = b""
            return b"R\x01\xff\xff"
        if byte == b"\x01":
            return BANNER if here[1:] != b"\x04" else b""
        if byte == b"\x04":
            return b"OK\r\nMPY: soft reboot\r\n" + BANNER
        return b""
