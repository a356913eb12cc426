"""Answers that stream: each piece at once, the whole as without streaming, and every way for a stream to fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from tests.agent.models.asking import anthropic, closing, openai, request
from tests.agent.models.event_streams import Events, anthropic_stream, event, openai_stream
from tests.agent.models.model_server import server

from microclaw.agent.models.bounded_http import MAX_ANSWER_BYTES
from microclaw.agent.models.protocol import Model, ModelReply
from microclaw.agent.models.provider_wire import MAX_REPLY_CHARS
from microclaw.errors import ModelError

Make = Callable[[str, float], Model]
Stream = Callable[..., list[bytes]]
PROVIDERS: list[tuple[Make, Stream]] = [(anthropic, anthropic_stream), (openai, openai_stream)]


async def streamed(make: Make, events: Events) -> tuple[list[str], ModelReply]:
    pieces: list[str] = []
    async with server((200, events)) as s, closing(make(s.url, 10)) as model:
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


@pytest.mark.parametrize("size", [None, 7])  # of the pieces into which the network splits the events
@pytest.mark.parametrize(("make", "stream"), PROVIDERS)
async def test_text_comes_in_its_pieces_and_usage_at_the_end(make: Make, stream: Stream, size: int | None) -> None:
    events = stream("Grün ", "is ", "→ 4.", cached=600)
    if size is not None:
        whole = b"".join(events)
        events = [whole[at : at + size] for at in range(0, len(whole), size)]
    pieces, reply = await streamed(make, Events(events))
    assert (pieces, reply.text) == (["Grün ", "is ", "→ 4."], "Grün is → 4.")
    assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.cached_tokens) == (1000, 100, 600)
    assert (reply.usage.cost_usd is not None) is (make is anthropic)


async def test_a_piece_is_given_before_the_next_one_is_sent() -> None:
    """The server goes on only once the client has shown what was sent."""
    seen = asyncio.Event()
    events = anthropic_stream("first", "second")
    pieces = list[str]()
    first = next(n for n, e in enumerate(events) if b"first" in e)

    class Waiting(Events):
        async def send(self, writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> None:
            await Events(self.chunks[: first + 1], end="open").send(writer, reader)
            await asyncio.wait_for(seen.wait(), 10)
            for chunk in self.chunks[first + 1 :]:
                writer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            writer.write(b"0\r\n\r\n")

    def on_text(text: str) -> None:
        pieces.append(text)
        seen.set()

    async with server((200, Waiting(events))) as s, closing(anthropic(s.url)) as model:
        assert (await model.respond(request(), on_text)).text == "firstsecond"
    assert pieces == ["first", "second"]


def anthropics(kind: str) -> bytes:
    return event("error", error={"type": kind, "message": "Overloaded"}, request_id="req_1")


OPENAIS = b'data: {"error": {"message": "The server had an error", "type": "server_error", "code": null}}\n\n'


@pytest.mark.parametrize(
    ("provider", "then", "end", "faults"),
    [
        *((one, b"", "cut", {"unreachable"}) for one in PROVIDERS),  # so that the turn asks again
        *((one, b"", "whole", {"unreachable"}) for one in PROVIDERS),
        *((one, b"", "stall", {"timeout"}) for one in PROVIDERS),
        *((one, b"event: content_block_delta\ndata: {not json\n\n", "whole", {"unreadable"}) for one in PROVIDERS),
        (PROVIDERS[0], anthropics("overloaded_error"), "whole", {"overloaded"}),
        (PROVIDERS[0], anthropics("rate_limit_error"), "whole", {"rate_limit"}),
        (PROVIDERS[0], anthropics("api_error"), "whole", {"server"}),
        (PROVIDERS[1], OPENAIS, "whole", {"server", "unreadable"}),
    ],
)
async def test_a_stream_that_breaks_in_the_middle_is_an_error_of_its_kind(
    provider: tuple[Make, Stream], then: bytes, end: str, faults: set[str]
) -> None:
    make, stream = provider
    events = stream("Pin ", "4")
    at = next(n for n, e in enumerate(events) if b"Pin " in e) + 1
    chunks = [*events[:at], *filter(None, (then,))]
    pieces, error = await failed(make, Events(chunks, end=end), timeout_s=3 if end == "stall" else 10)
    assert pieces == ["Pin "]
    assert error.fault in faults


async def test_a_stream_with_too_much_text_or_too_many_bytes_is_left() -> None:
    for make, stream in PROVIDERS:
        pieces, _ = await failed(make, Events(stream(*["x" * (MAX_REPLY_CHARS // 4)] * 6)))
        assert len(pieces) == 4
    pings = [event("ping", filler="x" * 60_000)] * (MAX_ANSWER_BYTES // 60_000 + 1)
    pieces, _ = await failed(anthropic, Events([*anthropic_stream("on")[:2], *pings]))
    assert pieces == []
