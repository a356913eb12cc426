"""Fuzz target: any bytes on the way to and from ESP-WASMachine: as frames in chunks, as a request, a response, a
container of attributes. What is read is written the same."""

from __future__ import annotations

from contextlib import suppress

from microclaw.errors import CallRejected, ProtocolError
from microclaw.virtual.firmware.receiver import url_number, url_tail, url_value
from microclaw.wire.wasmachine.answers import read_applets
from microclaw.wire.wasmachine.attributes import AttributeContainer, Generation
from microclaw.wire.wasmachine.frame import FrameDecoder, encode_frame
from microclaw.wire.wasmachine.program_log import read_log
from microclaw.wire.wasmachine.request import FORMAT_RAW, CoapCode, Response, WasmachineRequest

LIMIT = 4096


def fuzz_one(data: bytes) -> None:
    with suppress(ProtocolError):
        _frames(data)
    with suppress(ProtocolError):
        request = WasmachineRequest.decode(data)
        assert request.encode() == data
        tail = url_tail(request.url, "/applet") or ""  # as the virtual board reads it
        assert len(url_value(tail, "name", 126).encode("utf-8", "replace")) <= 3 * 126
        assert url_number(tail, "heap", 8192) >= 0
    with suppress(ProtocolError, CallRejected):
        response = Response.decode(data)
        assert response.encode() == data
        read_applets(response)
    with suppress(ProtocolError):
        log = read_log(Response(CoapCode.CONTENT, 1, data, FORMAT_RAW))
        assert all(line.text.isprintable() for line in log.lines)
    with suppress(ProtocolError):
        container = AttributeContainer.decode(data)
        again = AttributeContainer.decode(container.encode(Generation.NEW, as_device=True))
        assert repr(again) == repr(container)  # as text: a NaN is not equal to itself


def _frames(data: bytes) -> None:
    decoder = FrameDecoder(max_payload_bytes=LIMIT)
    accounted = 0
    chunk = 1 + (data[0] if data else 0) % 64
    for at in range(0, len(data), chunk):
        decoder.receive(data[at : at + chunk])
        while (frame := decoder.next_frame()) is not None:
            assert len(frame.payload) <= LIMIT
            accounted += len(encode_frame(frame.type, frame.payload))
    assert accounted + decoder.skipped_bytes + len(decoder.buffer) == len(data)
