"""The conversation on a real terminal: line editor, history, colour."""

from __future__ import annotations

import os
import pty
import select
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

TIMEOUT_S = 30.0


class Screen:
    """A pseudo-terminal with a command on it."""

    def __init__(self, command: list[str], environ: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environ, start_new_session=True
        )
        os.close(slave)
        self.shown = b""

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def wait_for(self, text: str) -> None:
        """Read until `text` was shown after everything awaited before."""
        deadline = time.monotonic() + TIMEOUT_S
        while text.encode() not in self.shown:
            left_s = deadline - time.monotonic()
            assert left_s > 0, f"{text!r} was not shown: {self.shown[-2000:]!r}"
            if select.select([self._master], [], [], left_s)[0]:
                piece = os.read(self._master, 65536)
                if b"\x1b[6n" in piece:
                    self.type("\x1b[1;1R")  # where the cursor is, as a terminal tells
                self.shown += piece
        self.shown = self.shown.partition(text.encode())[2]

    def ended(self, key: str) -> int:
        """Type `key` at the prompt, again each second, as one between two prompts is lost; the exit code."""
        deadline = time.monotonic() + TIMEOUT_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it goes on: {self.shown[-2000:]!r}"
            self.type(key)
            again = time.monotonic() + 1.0
            while self.process.poll() is None and time.monotonic() < again:
                if select.select([self._master], [], [], 0.1)[0]:
                    with suppress(OSError):  # Linux's answer when the other end is closed
                        self.shown += os.read(self._master, 65536)
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        os.close(self._master)


@pytest.fixture
def screen(host: dict[str, Any]) -> Iterator[Callable[..., Screen]]:
    opened: list[Screen] = []

    def open_screen(*words: str) -> Screen:
        environ = {**os.environ, "MICROCLAW_HOME": host["home"], "TERM": "xterm"}
        environ.pop("NO_COLOR", None)
        opened.append(Screen([sys.executable, "-m", "microclaw.cli", *words], environ))
        return opened[-1]

    yield open_screen
    for one in opened:
        one.close()


def test_conversation_keeps_a_private_history_and_leaves_on_ctrl_d(
    screen: Callable[..., Screen], host: dict[str, Any]
) -> None:
    chat = screen("chat")
    chat.wait_for("you>")
    chat.type("what is running\r")
    chat.wait_for("answer   ")
    chat.wait_for("you>")
    chat.type("\x03")  # at the prompt it clears the line and stays
    chat.wait_for("you>")
    assert chat.ended("\x04") == 0
    history = Path(host["home"]) / "chat_history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert "+what is running" in history.read_text()


@pytest.mark.parametrize(("words", "coloured"), [((), True), (("--no-color",), False)])
def test_colour_marks_what_is_proven_on_a_terminal_only_when_wanted(
    screen: Callable[..., Screen], tmp_path: Path, words: tuple[str, ...], coloured: bool
) -> None:
    source = tmp_path / "lamp.c"
    source.write_text('#include "microclaw.h"\nvoid on_init(void) { gpio_set(gpio_open(2, GPIO_OUT), 1); }\n')
    trial = screen("run", "--try", str(source), *words)
    trial.wait_for("try      ")
    trial.wait_for("\x1b[32mok" if coloured else " ok")
    assert trial.process.wait(TIMEOUT_S) == 0
