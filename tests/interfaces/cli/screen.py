"""`microclaw WORDS` on a pseudo-terminal. Holds no test."""

from __future__ import annotations

import os
import pty
import select
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.forked import Forked
from tests.interfaces.cli.conftest import clean_environ

TIMEOUT_S = 60.0


class Screen:
    def __init__(self, home: Path, *words: str, **environ: str) -> None:
        self._master, slave = pty.openpty()
        self.process = Forked(
            ("microclaw", *words),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**clean_environ(home), "TERM": "xterm", "NO_COLOR": "1", **environ},
            start_new_session=True,
        )
        os.close(slave)
        self.shown = ""
        self._awaited = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def wait_for(self, text: str) -> None:
        """Read until `text` was shown after everything awaited before."""
        deadline = time.monotonic() + TIMEOUT_S
        while (found := self.shown.find(text, self._awaited)) < 0:
            left_s = deadline - time.monotonic()
            assert left_s > 0, f"{text!r} was not shown: {self.shown[-2000:]!r}"
            if select.select([self._master], [], [], left_s)[0]:
                self._read()
        self._awaited = found + len(text)

    def type_unseen(self, text: str) -> None:
        """Type as soon as the terminal shows nothing of it: a prompt comes a moment before that."""
        deadline = time.monotonic() + TIMEOUT_S
        while termios.tcgetattr(self._master)[3] & termios.ECHO:
            assert time.monotonic() < deadline
        self.type(text)

    def ended(self, act: Callable[[], object]) -> int:
        """Do `act` at the prompt, again each second, as a key or signal between two prompts is lost; the exit code."""
        deadline = time.monotonic() + TIMEOUT_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it goes on: {self.shown[-2000:]!r}"
            act()
            again = time.monotonic() + 1.0
            while self.process.poll() is None and time.monotonic() < again:
                if select.select([self._master], [], [], 0.1)[0]:
                    with suppress(AssertionError):
                        self._read()
        return self.process.returncode

    def _read(self) -> None:
        try:
            piece = os.read(self._master, 65536).decode(errors="replace")
        except OSError as exc:  # Linux's answer when the other end is closed
            raise AssertionError(f"it ended: {self.shown[-2000:]!r}") from exc
        if "\x1b[6n" in piece:
            self.type("\x1b[1;1R")  # where the cursor is, as a terminal tells
        self.shown += piece
