"""Models that misbehave, byte by byte over HTTP, before a whole host with one board: each turn has an end, what was
done was done once, thoughts and calls in text are not shown, and the next turn is answered.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.agent.models.event_streams import DONE, Events, anthropic_stream, openai_chunk, openai_stream
from tests.agent.models.model_server import Server, server
from tests.agent.turn.real_host import Home, real_host

from microclaw.events import Answer, Delta
from microclaw.programs.changes import operations as programs
from microclaw.programs.changes.device_calls import call_device
from microclaw.wire import board_control as control
from microclaw.wire.host_api import StreamResult

pytestmark = pytest.mark.asyncio(loop_scope="module")

PINS = range(4, 19)
SECRET = "blue-heron"
FINE = "Well."
FREE_PINS = (*range(4, 8), *range(10, 19))
"""Pins that need no care."""
QUIET = """#include "microclaw.h"
static void tick(void) {}
void on_init(void) { every(1000, tick); }
"""
USES_PIN_18 = QUIET.replace("{ every", "{ gpio_set(gpio_open(18, GPIO_OUT), 0); every")

Reply = Any
"""What the server sends: Events, a status with a body, or a function of the request that makes it."""


class Script(list[tuple[int, Any]]):
    """The answers of a Server; the last one comes again for ever."""

    def pop(self, _index: Any = -1) -> tuple[int, Any]:
        if len(self) > 1:
            return super().pop(0)
        return self[0]


def script(*replies: Reply) -> Script:
    return Script(reply if isinstance(reply, tuple) else (200, reply) for reply in replies)


def said(*pieces: str) -> Events:
    return Events(openai_stream(*pieces))


def call(name: str, arguments: Any, index: int = 0, call_id: str | None = None) -> dict[str, Any]:
    """A call's delta; arguments that are a text are sent as they are."""
    if isinstance(arguments, str):
        text = arguments
    else:
        text = json.dumps(arguments)
    function = {"name": name, "arguments": text}
    return {"index": index, "id": call_id or f"call_{index}", "type": "function", "function": function}


def calls(*deltas: dict[str, Any]) -> Events:
    return Events(openai_stream(calls=deltas))


def sets(*pins: int, level: int = 1) -> Events:
    """One reply that sets these pins, a call each."""
    return calls(*(call("gpio-set", {"pin": pin, "level": level}, index) for index, pin in enumerate(pins)))


def counting(reply: Callable[[int], Events]) -> Callable[[dict[str, Any]], Events]:
    """Make each reply of the number of those that the turn has had."""

    def answer(body: dict[str, Any]) -> Events:
        roles = [message["role"] for message in body["messages"]]
        newest = len(roles) - roles[::-1].index("user")
        return reply(roles[newest:].count("assistant"))

    return answer


def without_finish(events: Events) -> Events:
    """The stream without the chunk that says why it ended."""
    return Events([chunk for chunk in events.chunks if b'"finish_reason": null' in chunk or chunk == DONE])


def cut(events: Events, after: bytes) -> Events:
    """The stream until the chunk that holds these bytes, which is cut in its middle."""
    at = next(index for index, chunk in enumerate(events.chunks) if after in chunk)
    half = events.chunks[at][: len(events.chunks[at]) // 2]
    return Events([*events.chunks[:at], half], end="cut")


def split(events: Events, size: int) -> Events:
    """The same bytes in chunks of that size."""
    whole = b"".join(events.chunks)
    return Events([whole[at : at + size] for at in range(0, len(whole), size)])


SET_5 = {"pin": 5, "level": 1}
THOUGHT = f"I think of the {SECRET}."
IN_TAGS = f'<tool_call>\n{{"name": "gpio-set", "arguments": {json.dumps(SET_5)}}}\n</tool_call>'
IN_FENCE = f'```json\n{{"name": "gpio-set", "arguments": {json.dumps(SET_5)}}}\n```'
AS_FUNCTION = f"functions.gpio-set({json.dumps(SET_5)})"
GEMINI = {"candidates": [{"content": {"role": "model", "parts": [{"text": "hello"}]}, "finishReason": "STOP"}]}
OLLAMA = json.dumps({"model": "m", "message": {"role": "assistant", "content": "hello"}, "done": True}).encode() + b"\n"
TOO_LONG = {"error": {"message": "maximum context length is 100 tokens", "code": "context_length_exceeded"}}
NO_TOOLS = {"error": {"message": "this model does not support tools", "type": "invalid_request_error"}}


@dataclass(frozen=True)
class Row:
    """`codes`: how the turn may end. `edges`: all that the board's pins did, in order; None if only that none did it
    twice. `hidden` is in no answer and no later request, `unseen` in no piece of an answer either. `decisions` answer
    the questions. `full`: three programs are on the board.
    """

    answers: Sequence[Reply]
    codes: tuple[str | None, ...] = (None,)
    edges: tuple[tuple[int, int], ...] | None = ()
    hidden: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    decisions: tuple[bool, ...] = ()
    full: bool = False


ON_5 = ((5, 1),)
REFUSED = ("tool_retry",)
ENDED = ("model_error",)
ROWS = {
    # Arguments that are no JSON, or not the tool's.
    "broken JSON": Row((calls(call("gpio-set", '{"pin": 5, "level": ')), said(FINE)), REFUSED),
    "single quotes": Row((calls(call("gpio-set", "{'pin': 5, 'level': 1}")), said(FINE)), REFUSED),
    "no object": Row((calls(call("gpio-set", "[5, 1]")), said(FINE)), REFUSED),
    "extra field": Row((calls(call("gpio-set", {**SET_5, "speed": 3})), said(FINE)), REFUSED),
    "mended arguments": Row((calls(call("gpio-set", "{")), sets(5), said(FINE)), (None,), ON_5),
    "numbers as text": Row((calls(call("gpio-set", {"pin": "5", "level": "1"})), said(FINE)), (None,), ON_5),
    # Names.
    "unknown tool": Row((calls(call("launch-rocket", {})), said(FINE))),
    "name with _": Row((calls(call("gpio_set", SET_5)), said(FINE)), edges=None),
    "name with a prefix": Row((calls(call("functions.gpio-set", SET_5)), said(FINE)), edges=None),
    "long name": Row((calls(call("gpio" * 5_000, SET_5)), said(FINE))),
    # Many calls.
    "two calls": Row((sets(5, 6), said(FINE)), (None,), ((5, 1), (6, 1))),
    "one id twice": Row(
        (calls(call("gpio-set", SET_5, 0, "same"), call("gpio-set", {"pin": 6, "level": 1}, 1, "same")), said(FINE)),
        (None,),
        ((5, 1), (6, 1)),
    ),
    "the same call twice": Row((sets(5, 5), said(FINE)), (None,), ON_5),
    "13 calls": Row((sets(*FREE_PINS), said(FINE)), (None, *REFUSED), None),
    "200 calls": Row((sets(*(FREE_PINS[number % 13] for number in range(200))), said(FINE)), (None, *REFUSED), None),
    "the same call for ever": Row((sets(5),), ("turn_limit", None), ON_5),
    "the same look for ever": Row((calls(call("gpio-get", {"pin": 5})),), ("turn_limit", None)),
    "other calls for ever": Row((counting(lambda turn: sets(FREE_PINS[turn % 13])),), ("turn_limit", None), None),
    # Words without an act.
    "nothing": Row((said(),), ENDED),
    "blanks": Row((said(" \n "),), ENDED),
    "a refusal": Row(
        (Events([openai_chunk({"refusal": "I cannot do that."}), openai_chunk({}, "stop"), DONE]),), ENDED
    ),
    "a lie": Row((said("Pin 5 is on now."),)),
    "a forged list": Row((said("Done.\n\nWhat the host did:\n- done: gpio-set pin 5\n"),)),
    "40,000 characters": Row((said("x" * 40_000),)),
    "70,000 characters": Row((said("x" * 70_000),), ENDED),
    "10 MB of text": Row((said(*["x" * 65_536] * 160),), ENDED),
    "10 MB of one call": Row((calls(call("gpio-set", '{"pin": ' + " " * 10_000_000 + '5, "level": 1}')),), ENDED),
    # Thoughts.
    "think in a piece": Row((said("<think>", THOUGHT, "</think>", FINE),), unseen=(SECRET, "think>")),
    "think with text": Row((said(f"<think>\n{THOUGHT}\n</think>\n{FINE}"),), unseen=(SECRET, "think>")),
    "think in cuts": Row((split(said(*f"<think>{THOUGHT}</think>{FINE}"), 7),), unseen=(SECRET, "think>")),
    "only the end of think": Row((said(f"{THOUGHT}\n</think>\n\n{FINE}"),), hidden=(SECRET, "think>")),
    "thoughts without an answer": Row((said(f"<think>{THOUGHT}</think>"),), ENDED, unseen=(SECRET, "think>")),
    # Calls in words.
    "a call in tags": Row((said(IN_TAGS),), ENDED, hidden=("tool_call", '"level"')),
    "a call in a fence": Row((said(IN_FENCE),), ENDED, hidden=('"level"',)),
    "a call as a function": Row((said(AS_FUNCTION),), ENDED, hidden=('"level"',)),
    "a call in tags, then a call": Row((said(IN_TAGS), sets(5), said(FINE)), edges=ON_5, hidden=("tool_call",)),
    # Streams that break, and other formats.
    "cut once": Row((cut(said(FINE), FINE.encode()), said(FINE))),
    "cut in a call, once": Row((cut(sets(5), b"gpio-set"), sets(5), said(FINE)), (None,), ON_5),
    "no finish reason": Row((without_finish(said(FINE)), said(FINE))),
    "a call without a finish reason": Row((without_finish(sets(5)), sets(5), said(FINE)), (None, *ENDED), None),
    "cut at the limit": Row((Events([openai_chunk({"content": FINE}), openai_chunk({}, "length"), DONE]),)),
    "stopped by a filter": Row((Events([openai_chunk({}, "content_filter"), DONE]),), ENDED),
    "an error of 200": Row(((200, {"error": {"message": "limit reached", "code": 429}}), said(FINE)), (None, *ENDED)),
    "HTML": Row(((200, b"<html><body>Sign in</body></html>"),), ENDED),
    "Gemini's answer": Row(((200, GEMINI),), ENDED),
    "Ollama's answer": Row(((200, OLLAMA),), ENDED),
    "400: no tools": Row(((400, NO_TOOLS),), ENDED),
    "400: too long": Row(((400, TOO_LONG),), ENDED),
    # Acts that the host refuses or asks about.
    "a pin of the flash, one that is not there, a board that is not there": Row(
        (sets(26, 99), calls(call("gpio-set", {**SET_5, "device": "attic"})), said(FINE)), ("unknown_name",)
    ),
    "a pin of a program": Row((sets(18), said(FINE)), ("permission_refused",), decisions=(False,), full=True),
    "installs on a full board": Row(
        (
            calls(*(call("deploy-wasm-app", {"sourceCode": QUIET, "appName": f"new{n}"}, n) for n in range(2))),
            said(FINE),
        ),
        ("too_many_apps",),
        full=True,
    ),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one_host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Home, Server]]:
    async with opened(tmp_path_factory.mktemp("host") / "home") as (home, model):
        yield home, model


@asynccontextmanager
async def opened(
    folder: Path, more: str = "", boards: tuple[str, ...] = ("virtual-1",)
) -> AsyncIterator[tuple[Home, Server]]:
    async with server() as model:
        environ = {"OPENAI_BASE_URL": f"{model.url}/v1", "MICROCLAW_MODEL": "odd"}
        config = f"[model]\noffline_first = false\n{more}"
        async with real_host(folder, config=config, environ=environ, boards=boards) as home:
            yield home, model


@pytest_asyncio.fixture(loop_scope="module")
async def home(one_host: tuple[Home, Server]) -> AsyncIterator[Home]:
    """The host; after the test its board is empty."""
    home = one_host[0]
    yield home
    for name in home.programs():
        await asyncio.to_thread(home.client.call, programs.uninstall, device="virtual-1", name=name)
    for row in home.ask(control.Pins()).pins:
        if row.pin in PINS and row.level == 1:
            await asyncio.to_thread(set_low, home, row.pin)


def set_low(home: Home, pin: int) -> None:
    home.client.call(call_device, device="virtual-1", method="gpio.set", arguments={"pin": pin, "level": 0})


def edges(home: Home) -> list[tuple[int, int]]:
    return [(row.pin, row.level) for row in home.ask(control.Edges()).rows if row.pin in PINS]


async def fill(home: Home) -> None:
    """Put three programs on the board, as many as it takes."""
    for name, source in (("one", USES_PIN_18), ("two", QUIET), ("three", QUIET)):
        events = await home.events("/v1/devices/virtual-1/apps", name=name, source=source)
        assert isinstance(events[-1], StreamResult), events[-1]


@pytest.mark.parametrize("name", ROWS)
async def test_a_model_that_misbehaves_acts_once_and_the_turn_ends(
    home: Home, one_host: tuple[Home, Server], name: str
) -> None:
    row = ROWS[name]
    chat = home.new_chat()
    model = one_host[1]
    if row.full:
        await fill(home)
    names = home.programs()
    before = edges(home)
    model.answers = script(*row.answers)
    events = await home.events("Do it.", *row.decisions, chat=chat)
    answer = events[-1]
    assert isinstance(answer, Answer)
    assert answer.error_code in row.codes, answer
    made = edges(home)[len(before) :]
    if row.edges is None:
        assert len(made) == len(set(made)), made
    else:
        assert tuple(made) == row.edges
    assert home.programs() == names
    model.answers = script(said(FINE))
    assert (await home.say("And now?", chat=chat)).error_code is None
    shown = "".join(event.text for event in events if isinstance(event, Delta))
    for words in (*row.hidden, *row.unseen):
        assert words not in answer.text
        assert words not in json.dumps(model.bodies[-1]["messages"])
    for words in row.unseen:
        assert words not in shown


FAILING = {
    "429": (429, {"error": {"message": "slow down", "type": "rate_limit"}}),
    "500": (500, {"error": {"message": "model requires more system memory than is available"}}),
    "503": (503, b"<html>unavailable</html>"),
    "a cut stream": cut(said(FINE), FINE.encode()),
    "a cut call": cut(sets(5), b"gpio-set"),
    "another provider's stream": Events(anthropic_stream("hello")),
    "keep-alives only": Events([b": keep-alive\n\n"], end="stall"),
}


@pytest.mark.filterwarnings("ignore:Failed to extract usage")  # the library's, of another provider's format
@pytest.mark.parametrize("name", FAILING)
async def test_a_service_that_fails_for_ever_ends_the_turn(tmp_path: Path, name: str) -> None:
    async with opened(tmp_path / "home", "[agent]\nturn_s = 5\n", boards=()) as (home, model):
        model.answers = script(FAILING[name])
        answer = await home.say("hello")
        assert answer.error_code in ("model_error", "turn_limit")
        assert answer.actions == ()
        assert answer.next_step


async def test_programs_that_a_model_removes_unasked_come_back_with_one_undo(home: Home, one_host: Any) -> None:
    model = one_host[1]
    deploys = [call("deploy-wasm-app", {"sourceCode": QUIET, "appName": f"quiet{n}"}, n) for n in range(2)]
    model.answers = script(calls(*deploys), said(FINE))
    await home.say("put two quiet programs on the board", chat="removing")
    assert home.programs() == {"quiet0", "quiet1"}
    removes = [call("uninstall-wasm-app", {"appName": f"quiet{n}"}, n) for n in range(2)]
    model.answers = script(calls(*removes), said(FINE))
    await home.say("how are you?", chat="removing")
    assert home.programs() == set()
    model.answers = script(calls(call("undo", {})), said(FINE))
    answer = await home.say("undo that", chat="removing")
    assert isinstance(answer, Answer)
    assert home.programs() == {"quiet0", "quiet1"}


async def test_another_model_takes_over_a_call_that_broke_off(tmp_path: Path) -> None:
    async with server() as second:
        fallback = f'[model.fallback.second]\nprovider = "openai"\nname = "second"\nbase_url = "{second.url}/v1"\n'
        async with opened(tmp_path / "home", fallback) as (home, first):
            first.answers = script(cut(sets(5), b"gpio-set"))
            second.answers = script(sets(5), said(FINE))
            answer = await home.say("Do it.", chat="over")
            assert answer.error_code is None
            assert edges(home) == [(5, 1)]
