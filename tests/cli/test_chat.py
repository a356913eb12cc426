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
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import clean_environ, run_in
from tests.models.event_streams import Events, openai_stream
from tests.models.model_server import Server, server

from microclaw.cli.child import Child
from microclaw.client import Client

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


@pytest.mark.parametrize("approved_by", ["--yes", "another terminal"])
async def test_without_a_keyboard_a_question_is_answered_by_yes_or_elsewhere(tmp_path: Path, approved_by: str) -> None:
    async with server(*tainted_act()) as provider:

        def talk() -> str:
            home = tmp_path / "home"
            with host_with(provider, home):
                if approved_by == "--yes":
                    return run_in(home, "chat", SENTENCE, "--yes").out
                words = [sys.executable, "-m", "microclaw.cli", "chat", SENTENCE]
                environ = clean_environ(home)
                with subprocess.Popen(
                    words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=environ
                ) as chat:
                    assert chat.stdout is not None
                    for line in chat.stdout:
                        if line.startswith("next     microclaw approval approve "):
                            approval_id = line.split()[4]
                            break
                    assert run_in(home, "approval", "approve", approval_id).code == 0
                    return chat.communicate(timeout=TIMEOUT_S)[0]

        shown = await asyncio.to_thread(talk)
    assert "I am done.\n" in shown
    assert "permission_refused" not in str(provider.bodies[2]["messages"][-1])


class Held(Events):
    """Answers once it is let go; `asked` is set when the request is there."""

    def __init__(self, chunks: list[bytes]) -> None:
        super().__init__(chunks)
        self.loop = asyncio.get_running_loop()
        self.asked, self.go = threading.Event(), asyncio.Event()

    async def send(self, writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> None:
        self.asked.set()
        await self.go.wait()
        await super().send(writer, reader)


async def test_a_client_that_goes_away_finds_its_answer_at_the_next_chat(tmp_path: Path) -> None:
    home = tmp_path / "home"
    held = Held(openai_stream("for later"))
    async with server((200, held), (200, Events(openai_stream("and now")))) as provider:

        def talk() -> str:
            words = [sys.executable, "-m", "microclaw.cli", "chat", SENTENCE]
            with host_with(provider, home, boards=0):
                with subprocess.Popen(words, stdout=subprocess.DEVNULL, env=clean_environ(home)) as chat:
                    assert held.asked.wait(TIMEOUT_S)
                    chat.kill()
                held.loop.call_soon_threadsafe(held.go.set)
                wait_for_undelivered(home)
                return run_in(home, "chat", SENTENCE, "again").out

        shown = await asyncio.to_thread(talk)
    assert shown.splitlines()[0] == "earlier  for later"
    assert "answer   and now" in shown


def wait_for_undelivered(home: Path) -> Client:
    client = Client(home / "control.sock")
    deadline = time.monotonic() + TIMEOUT_S
    while not client.get("/v1/chat/terminal/undelivered")["messages"]:
        assert time.monotonic() < deadline, "no answer was left for the chat"
        select.select([], [], [], 0.01)
    return client


async def test_an_answer_that_a_crash_kept_is_shown_first_at_the_next_chat(tmp_path: Path) -> None:
    home = tmp_path / "home"
    replies = ((200, None), (200, Events(openai_stream("better late"))), (200, Events(openai_stream("and now"))))
    async with server(*replies) as provider:

        def crash() -> None:
            words = [sys.executable, "-m", "microclaw.cli", "chat", SENTENCE]
            with host_with(provider, home, boards=0) as host:
                with subprocess.Popen(words, stderr=subprocess.PIPE, env=clean_environ(home)) as chat:
                    deadline = time.monotonic() + TIMEOUT_S
                    while not provider.bodies and time.monotonic() < deadline:
                        select.select([], [], [], 0.01)
                    os.kill(host.pid, signal.SIGKILL)
                    chat.communicate(timeout=TIMEOUT_S)
                assert chat.returncode == 3

        def come_back() -> tuple[str, str]:
            with host_with(provider, home, boards=0):
                client = wait_for_undelivered(home)
                first = run_in(home, "chat", SENTENCE, "again").out
                return first, str(client.get("/v1/chat/terminal/undelivered")["messages"])

        await asyncio.to_thread(crash)
        shown, left = await asyncio.to_thread(come_back)
    assert shown.splitlines()[0] == "earlier  better late"
    assert "answer   and now" in shown
    assert left == "[]"
