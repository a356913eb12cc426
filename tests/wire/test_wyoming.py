"""Wyoming events to bytes and back, also against the reference implementation."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wyoming.event import Event, read_event, write_event

from microclaw.errors import ProtocolError
from microclaw.wire.wyoming import (
    MAX_DATA_BYTES,
    MAX_LINE_BYTES,
    MAX_PAYLOAD_BYTES,
    WyomingDecoder,
    WyomingEvent,
    encode_event,
)

CHUNK = WyomingEvent("audio-chunk", {"rate": 16000, "width": 2, "channels": 1}, b"\x01\x02\n\x03")
VECTORS: list[tuple[bytes, WyomingEvent]] = [
    (b'{"type": "describe", "version": "1.7.0"}\n', WyomingEvent("describe")),
    (
        b'{"type": "audio-chunk", "version": "1.7.0", "data_length": 42, "payload_length": 4}\n'
        b'{"rate": 16000, "width": 2, "channels": 1}\x01\x02\n\x03',
        CHUNK,
    ),
]
READ_ONLY: list[tuple[bytes, WyomingEvent]] = [
    (b'{"type":"transcript","data":{"text":"a","b":1}}\n', WyomingEvent("transcript", {"text": "a", "b": 1})),
    (b'{"type":"t","data":{"a":1,"b":2},"data_length":7}\n{"b":3}', WyomingEvent("t", {"a": 1, "b": 3})),
    (b'{"type":"t","data":null,"data_length":null,"payload_length":0}\n', WyomingEvent("t")),
]


def decoded(*pieces: bytes) -> list[WyomingEvent]:
    decoder = WyomingDecoder()
    found = []
    for piece in pieces:
        decoder.receive(piece)
        while (event := decoder.next_event()) is not None:
            found.append(event)
    return found


def test_vectors_are_written_and_read_whole_and_byte_by_byte() -> None:
    for data, event in VECTORS:
        assert encode_event(event) == data
    for data, event in VECTORS + READ_ONLY:
        assert decoded(data) == [event]
        assert decoded(*(data[at : at + 1] for at in range(len(data)))) == [event]


NO_EVENTS = (
    b"\n", b"{}\n", b"\xff\xfe\n", b'{"type": 5}\n', b'{"type": "' + b"x" * 65 + b'"}\n',
    b'{"type": "t", "data": []}\n', b'{"type": "t", "data_length": -1}\n', b'{"type": "t", "payload_length": 1.5}\n',
    b'{"type": "t", "data_length": 2}\n[]', b"[" * MAX_LINE_BYTES + b"\n", b"x" * (MAX_LINE_BYTES + 1),
    b'{"type": "t", "data_length": %d}\n' % (MAX_DATA_BYTES + 1),
    b'{"type": "t", "payload_length": %d}\n' % (MAX_PAYLOAD_BYTES + 1),
    rb'{"type": "a", "data": {"t": "\ud800"}}' + b"\n", b'{"type": "a", "data": {"t": "\xed\xa0\x80"}}\n',
)  # fmt: skip


def test_what_is_no_event_is_refused_before_its_body_comes_and_fields_of_another_kind_when_read() -> None:
    for data in NO_EVENTS:
        with pytest.raises(ProtocolError):
            decoded(data)
    event = WyomingEvent("t", {"text": 5, "rate": "16000", "flag": True})
    assert event.text_of("nothing") == ""
    for read in (lambda: event.text_of("text"), lambda: event.number_of("rate"), lambda: event.number_of("flag")):
        with pytest.raises(ProtocolError):
            read()


json_data = st.dictionaries(st.text(max_size=8), st.text(max_size=20) | st.integers() | st.none() | st.booleans())


@given(json_data, st.binary(max_size=200))
def test_the_reference_reads_what_we_write_and_we_what_it_writes(data: dict[str, Any], payload: bytes) -> None:
    ours = WyomingEvent("some-event", data, payload)
    theirs = read_event(io.BytesIO(encode_event(ours)))
    assert theirs is not None
    assert (theirs.type, theirs.data, theirs.payload or b"") == ("some-event", data, payload)
    written = io.BytesIO()
    try:
        write_event(Event("some-event", data, payload or None), written)
    except UnicodeEncodeError:
        return  # a lone surrogate, which the reference cannot write
    assert decoded(written.getvalue()) == [ours]
