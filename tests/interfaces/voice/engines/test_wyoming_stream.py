"""Wyoming events by the package, with every length checked first: vectors, and its reader and writer as the peer."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.peers import listening
from wyoming.audio import AudioChunk
from wyoming.event import Event, read_event, write_event
from wyoming.version import __version__ as WYOMING_VERSION

from microclaw.errors import ProtocolError
from microclaw.interfaces.voice.engines.wyoming_stream import WyomingStream, rate_of, text_of

READ: list[tuple[bytes, Event]] = [
    (b'{"type": "describe", "version": "1.7.0"}\n', Event("describe")),
    (
        b'{"type": "audio-chunk", "version": "1.7.0", "data_length": 42, "payload_length": 4}\n'
        b'{"rate": 16000, "width": 2, "channels": 1}\x01\x02\n\x03',
        Event("audio-chunk", {"rate": 16000, "width": 2, "channels": 1}, b"\x01\x02\n\x03"),
    ),
    (b'{"type":"transcript","data":{"text":"a","b":1}}\n', Event("transcript", {"text": "a", "b": 1})),
    (b'{"type":"t","data":{"a":1,"b":2},"data_length":7}\n{"b":3}', Event("t", {"a": 1, "b": 3})),
    (b'{"type":"t","data":null,"data_length":7}\n{"b":3}', Event("t", {"b": 3})),
    (b'{"type":"t","data":null,"data_length":null,"payload_length":0}\n', Event("t")),
]


async def events_of(*pieces: bytes) -> list[Event]:
    """Return the events of a peer that sends these and closes, over a real socket."""

    async def send(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    events = []
    async with listening(send) as port, asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with closing(writer):
            stream = WyomingStream(reader, writer)
            while (event := await stream.next_event(60)) is not None:
                events.append(event)
    return events


async def test_vectors_are_read_whole_byte_by_byte_and_many_in_one_piece() -> None:
    for data, event in READ:
        assert await events_of(data) == [event]
        assert await events_of(*(data[at : at + 1] for at in range(len(data)))) == [event]
    assert await events_of(b"".join(data for data, _ in READ)) == [event for _, event in READ]


async def test_a_peer_that_leaves_in_the_middle_of_an_event_is_one_that_left() -> None:
    whole, event = READ[1]
    for size in range(0, len(whole), 11):
        assert await events_of(whole[:size]) == []
    assert await events_of(whole + whole[:-1]) == [event]


def test_a_field_of_another_kind_is_refused_when_it_is_read() -> None:
    event = Event("t", {"text": 5, "rate": "16000"})
    assert text_of(event, "nothing") == ""
    reads: tuple[Callable[[], object], ...] = (
        lambda: text_of(event, "text"),
        lambda: rate_of(event),
        lambda: rate_of(Event("t", {"rate": True, "width": 2, "channels": 1})),
        lambda: rate_of(Event("t", {"rate": 16_000, "width": 2})),
    )
    for read in reads:
        with pytest.raises(ProtocolError):
            read()


async def test_a_message_is_written_as_the_package_writes_it() -> None:
    chunk = AudioChunk(16_000, 2, 1, b"\x01\x02")
    received = asyncio.Queue[bytes]()

    async def receive(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        received.put_nowait(await reader.read())

    async with listening(receive) as port, asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        stream = WyomingStream(reader, writer)
        await stream.send(chunk)
        writer.close()
        data = await received.get()
        with pytest.raises(ConnectionResetError):
            await stream.send(chunk)
    head, _, body = data.partition(b"\n")
    assert json.loads(head) == {
        "type": "audio-chunk", "version": WYOMING_VERSION, "data_length": len(body) - 2, "payload_length": 2,
    }  # fmt: skip
    assert read_event(io.BytesIO(data)) == chunk.event()


json_data = st.dictionaries(st.text(max_size=8), st.text(max_size=20) | st.integers() | st.none() | st.booleans())


@given(json_data, st.binary(max_size=200))
def test_what_the_package_writes_is_read_as_the_package_reads_it(data: dict[str, Any], payload: bytes) -> None:
    written = io.BytesIO()
    write_event(Event("some-event", data, payload or None), written)
    theirs = read_event(io.BytesIO(written.getvalue()))

    async def ours() -> Event | None:
        reader = asyncio.StreamReader()
        reader.feed_data(written.getvalue())
        writer: Any = None
        return await WyomingStream(reader, writer).next_event(60)

    assert asyncio.run(ours()) == theirs


async def test_other_work_has_its_turn_between_two_events_that_came_together() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(READ[0][0] * 2)
    writer: Any = None
    stream = WyomingStream(reader, writer)
    turns: list[int] = []
    for count in (1, 2):
        asyncio.get_running_loop().call_soon(turns.append, count)
        assert await stream.next_event(60) is not None
        assert len(turns) == count
