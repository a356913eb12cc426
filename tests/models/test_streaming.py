"""Answers that stream: each piece at once, the whole as without streaming, and every way for a stream to fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
from tests.models.asking import anthropic, closing, openai, request
from tests.models.event_streams import Events, anthropic_stream, event, openai_stream
from tests.models.model_server import server

from microclaw.errors import ModelError
from microclaw.models.bounded_http import MAX_ANSWER_BYTES
from microclaw.models.protocol import Model, ModelReply
from microclaw.models.provider_wire import MAX_REPLY_CHARS

Make = Callable[[str, float], Model]


async def streamed(make: Make, events: Events, timeout_s: float = 10) -> tuple[list[str], ModelReply]:
    pieces: list[str] = []
    async with server((200, events)) as s, closing(make(s.url, timeout_s)) as model:
        reply = await model.respond(request(), pieces.append)
    assert s.bodies[0]["stream"] is True
    return pieces, reply


async def failed(make: Make, events: Events, timeout_s: float = 10) -> tuple[list[str], ModelError]:
    pieces: list[str] = []
    async with server((200, events)) as s, closing(make(s.url, timeout_s)) as model:
        with pytest.raises(ModelError) as caught:
            await model.respond(request(), pieces.append)
        assert len(s.paths) == 1, "nothing is tried twice"
    assert caught.value.next_step
    return pieces, caught.value


@pytest.mark.parametrize(("make", "stream"), [(anthropic, anthropic_stream), (openai, openai_stream)])
async def test_text_comes_in_its_pieces_and_usage_at_the_end(make: Make, stream: Callable[..., list[bytes]]) -> None:
    pieces, reply = await streamed(make, Events(stream("Pin 4 ", "is ", "on.", cached=600)))
    assert (pieces, reply.text) == (["Pin 4 ", "is ", "on."], "Pin 4 is on.")
    assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.cached_tokens) == (1000, 100, 600)
    assert (reply.usage.cost_usd is not None) is (make is anthropic)


async def test_a_stream_that_never_ends_is_left_at_the_limit_of_bytes() -> None:
    pings = [event("ping", filler="x" * 60_000)] * (MAX_ANSWER_BYTES // 60_000 + 1)
    pieces, _ = await failed(anthropic, Events([*anthropic_stream("on")[:2], *pings]))
    assert pieces == []


async def test_anthropic_tool_call_is_gathered_from_its_deltas() -> None:
    pieces, reply = await streamed(
        anthropic, Events(anthropic_stream("I set it.", tool=("id-1", "gpio-set", ['{"pi', 'n": 4}'])))
    )
    assert pieces == ["I set it."]
    assert [(c.call_id, c.name, json.loads(c.arguments)) for c in reply.calls] == [("id-1", "gpio-set", {"pin": 4})]


async def test_openai_tool_call_is_gathered_from_its_deltas() -> None:
    first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "gpio-set", "arguments": ""}}
    rest = [{"index": 0, "function": {"arguments": part}} for part in ('{"pi', 'n": 4}')]
    _, reply = await streamed(openai, Events(openai_stream(calls=[first, *rest])))
    assert [(c.call_id, c.name, json.loads(c.arguments)) for c in reply.calls] == [("call_1", "gpio-set", {"pin": 4})]


async def test_a_piece_is_given_before_the_next_one_is_sent() -> None:
    """The server goes on only once the client has shown what was sent."""
    seen, events = asyncio.Event(), anthropic_stream("first", "second")
    first = next(n for n, e in enumerate(events) if b"first" in e)

    class Waiting(Events):
        async def send(self, writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> None:
            await Events(self.chunks[: first + 1], end="open").send(writer, reader)
            await asyncio.wait_for(seen.wait(), 10)
            for chunk in self.chunks[first + 1 :]:
                writer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            writer.write(b"0\r\n\r\n")

    pieces: list[str] = []

    def on_text(text: str) -> None:
        pieces.append(text)
        seen.set()

    async with server((200, Waiting(events))) as s, closing(anthropic(s.url)) as model:
        assert (await model.respond(request(), on_text)).text == "firstsecond"
    assert pieces == ["first", "second"]


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize(
    ("make", "events"), [(anthropic, anthropic_stream("Grün ", "→ 4")), (openai, openai_stream("Grün ", "→ 4"))]
)
async def test_events_are_read_wherever_the_network_splits_them(make: Make, events: list[bytes], size: int) -> None:
    whole = b"".join(events)
    chunks = [whole[at : at + size] for at in range(0, len(whole), size)]
    pieces, reply = await streamed(make, Events(chunks))
    assert "".join(pieces) == reply.text == "Grün → 4"


GARBAGE = [
    b"data: {not json\n\n",
    b"\xff\xfe\x00garbage\n\n",
    b'data: {"type": "message_start", "message": 7}\n\n',
    b"data: []\n\n",
]


@pytest.mark.parametrize("make", [anthropic, openai])
@pytest.mark.parametrize("garbage", GARBAGE)
async def test_garbage_instead_of_events_is_an_error(make: Make, garbage: bytes) -> None:
    await failed(make, Events([garbage]))


BOTH = [(anthropic, anthropic_stream("Pin ", "4")), (openai, openai_stream("Pin ", "4"))]
GARBLED = b"event: content_block_delta\ndata: {not json\n\n"
OPENAIS = b'data: {"error": {"message": "The server had an error", "type": "server_error", "code": null}}\n\n'


def anthropics(kind: str) -> bytes:
    return event("error", error={"type": kind, "message": "Overloaded"}, request_id="req_1")


@pytest.mark.parametrize(
    ("make", "events", "then", "end", "faults"),
    [
        *((*each, b"", "cut", {"unreachable"}) for each in BOTH),  # so that the turn asks again
        *((*each, b"", "whole", {"unreachable"}) for each in BOTH),
        *((*each, b"", "stall", {"timeout"}) for each in BOTH),
        *((*each, GARBLED, "whole", {"unreadable"}) for each in BOTH),
        (*BOTH[0], anthropics("overloaded_error"), "whole", {"overloaded"}),
        (*BOTH[0], anthropics("rate_limit_error"), "whole", {"rate_limit"}),
        (*BOTH[0], anthropics("api_error"), "whole", {"server"}),
        (*BOTH[1], OPENAIS, "whole", {"server", "unreadable"}),
    ],
)
async def test_a_stream_that_breaks_in_the_middle_is_an_error_of_its_kind(
    make: Make, events: list[bytes], then: bytes, end: str, faults: set[str]
) -> None:
    at = next(n for n, e in enumerate(events) if b"Pin " in e) + 1
    chunks = [*events[:at], *filter(None, (then,))]
    pieces, error = await failed(make, Events(chunks, end=end), timeout_s=0.3 if end == "stall" else 10)
    assert pieces == ["Pin "]
    assert error.fault in faults


@pytest.mark.parametrize("make", [anthropic, openai])
async def test_a_stream_with_too_much_text_is_left(make: Make) -> None:
    stream = anthropic_stream if make is anthropic else openai_stream
    piece = "x" * (MAX_REPLY_CHARS // 4)
    pieces, _ = await failed(make, Events(stream(*[piece] * 6)))
    assert len(pieces) == 4


async def test_cancelling_closes_the_connection() -> None:
    started, gone = asyncio.Event(), asyncio.Event()

    class Watched(Events):
        async def send(self, writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> None:
            await super().send(writer, reader)
            gone.set()

    async with (
        server((200, Watched(anthropic_stream("Pin ")[:4], end="stall"))) as s,
        closing(anthropic(s.url)) as model,
    ):
        task = asyncio.ensure_future(model.respond(request(), lambda _: started.set()))
        await asyncio.wait_for(started.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(gone.wait(), 10)
