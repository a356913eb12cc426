"""`microclaw chat` beside a host with a language model: questions, streaming, and answers that nobody read."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import clean_environ
from tests.models.event_streams import Events, openai_stream
from tests.models.model_server import Server, server

from microclaw.cli.child import Child

TIMEOUT_S = 30.0
SENTENCE = "tell me something nobody has a rule for"


def calling(tool: str, **arguments: Any) -> Events:
    call = {"index": 0, "id": f"call-{tool}", "type": "function"}
    return Events(openai_stream(calls=[{**call, "function": {"name": tool, "arguments": json.dumps(arguments)}}]))


def tainted_act() -> tuple[tuple[int, Events], ...]:
    """A model that looks at a page (which is refused: what it says is a stranger's), wants to set a pin, then tells."""
    page = calling("web-fetch", url="http://127.0.0.1:1/")
    replies = (page, calling("gpio-set", pin=4, level=1), Events(openai_stream("I am ", "done.")))
    return tuple((200, reply) for reply in replies)


@contextmanager
def host_with(provider: Server, home: Path, *, boards: int = 1) -> Iterator[Child]:
    environ = {**clean_environ(home), "OPENAI_BASE_URL": f"{provider.url}/v1", "MICROCLAW_MODEL": "test-model"}
    words = ["microclaw.cli", "--json", "up", "--port", "0", "--virtual", str(boards), "--die-with-parent"]
    with Child("host", words, log=home.parent / "stderr", environ=environ) as child:
        child.wait_ready()
        yield child


class Screen:
    """`microclaw WORDS` on a pseudo-terminal."""

    def __init__(self, home: Path, *words: str) -> None:
        self._master, slave = pty.openpty()
        environ = {**clean_environ(home), "TERM": "xterm", "NO_COLOR": "1"}
        command = [sys.executable, "-m", "microclaw.cli", *words]
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environ, start_new_session=True
        )
        os.close(slave)
        self.shown = ""

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        os.close(self._master)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while text not in self.shown:
            left_s = deadline - time.monotonic()
            assert left_s > 0, f"{text!r} was not shown: {self.shown[-2000:]!r}"
            if select.select([self._master], [], [], left_s)[0]:
                try:
                    self.shown += os.read(self._master, 65536).decode()
                except OSError as exc:  # the other side is closed
                    raise AssertionError(f"{text!r} was not shown: {self.shown[-2000:]!r}") from exc


@pytest.mark.parametrize(("typed", "outcome"), [("y\n", "I am done."), ("\n", "permission_refused"), ("", "cancelled")])
async def test_a_question_is_asked_at_the_terminal_and_enter_is_a_no(tmp_path: Path, typed: str, outcome: str) -> None:
    async with server(*tainted_act()) as provider:

        def talk() -> int:
            home = tmp_path / "home"
            with host_with(provider, home), Screen(home, "chat", SENTENCE) as screen:
                screen.wait_for("approve  set pin 4 of virtual-1 high")
                screen.wait_for("do it? [y/N]")
                if typed:
                    screen.type(typed)
                else:
                    screen.process.send_signal(signal.SIGINT)  # Ctrl-C
                screen.wait_for("cancelled" if outcome == "cancelled" else "I am done.")
                return screen.process.wait(TIMEOUT_S)

        code = await asyncio.to_thread(talk)
    if outcome == "cancelled":
        assert code == 130
        assert len(provider.bodies) == 2
    else:
        told = str(provider.bodies[2]["messages"][-1])
        assert ("permission_refused" in told) == (outcome == "permission_refused")
