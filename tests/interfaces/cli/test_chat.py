"""`microclaw chat` with a language model: questions, streaming, and answers that nobody read; without one a reading
that is not sure waits for a yes, to that question and no other.
"""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.agent.models.event_streams import Events, openai_stream
from tests.agent.models.model_server import Server, server
from tests.forked import Child
from tests.interfaces.cli.conftest import clean_environ, run_in
from tests.interfaces.cli.screen import TIMEOUT_S, Screen
from tests.stories.conftest import running_host

SENTENCE = "tell me something nobody has a rule for"


def calling(tool: str, **arguments: Any) -> Events:
    call = {"index": 0, "id": f"call-{tool}", "type": "function"}
    return Events(openai_stream(calls=[{**call, "function": {"name": tool, "arguments": json.dumps(arguments)}}]))


def tainted_act() -> tuple[tuple[int, Events], ...]:
    """A model that looks at a file (whoever wrote it), wants to set a pin, then tells."""
    page = calling("read-file", path="notes.txt")
    replies = (page, calling("gpio-set", pin=4, level=1), Events(openai_stream("I am ", "done.")))
    return tuple((200, reply) for reply in replies)


@contextmanager
def host_with(provider: Server, home: Path, *, boards: int = 1) -> Iterator[Child]:
    environ = {**clean_environ(home), "OPENAI_BASE_URL": f"{provider.url}/v1", "MICROCLAW_MODEL": "test-model"}
    words = ["microclaw", "--json", "up", "--port", "0", "--virtual", str(boards), "--die-with-parent"]
    with Child("host", words, log=home.parent / "stderr", environ=environ) as child:
        child.wait_ready()
        yield child


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


async def test_ctrl_c_while_a_model_thinks_cancels_the_turn_and_not_the_host(tmp_path: Path) -> None:
    asked = threading.Event()
    async with server((200, lambda _: asked.set())) as provider:  # it never answers
        home = tmp_path / "home"

        def talk() -> None:
            with host_with(provider, home), Screen(home, "chat", SENTENCE) as screen:
                assert asked.wait(TIMEOUT_S)
                screen.process.send_signal(signal.SIGINT)
                screen.wait_for("cancelled")
                assert screen.process.wait(TIMEOUT_S) == 130
                assert run_in(home, "status").code == 0

        await asyncio.to_thread(talk)


LOOSE = "could the relay thingy on pin 10 be switched on for me"


def test_a_reading_is_confirmed_by_a_second_call_by_yes_or_by_enter(tmp_path: Path) -> None:
    with running_host(tmp_path / "home", "--virtual", "1") as host:
        asked = host.run("--json", "chat", LOOSE)
        assert (asked.code, asked.json["error"], asked.json["actions"]) == (1, "confirm_reading", [])
        done = host.run("--json", "chat", "yes").json
        assert [action["args"] for action in done["actions"]] == [{"pin": 10, "level": 1}]
        at_once = host.run("--json", "--yes", "chat", LOOSE).json
        assert (at_once["error"], at_once["actions"]) == ("confirm_reading", [])
        for order in ("every day at 07:30 turn on pin 4", "every day at 08:15 turn off pin 4"):
            host.run("chat", order)
        cancelled = host.run("--json", "--yes", "chat", "cancel all schedules").json
        assert [action["tool"] for action in cancelled["actions"]].count("schedule-remove") == 2
        with Screen(host.home, "chat") as screen:
            screen.wait_for("you>")
            screen.type(f"{LOOSE}\n")
            screen.wait_for("[Y/n]")
            assert host.run("--json", "chat", LOOSE.replace("10", "11")).json["error"] == "confirm_reading"
            screen.type("\n")
            screen.wait_for("Pin 10 of virtual-1 is on")
