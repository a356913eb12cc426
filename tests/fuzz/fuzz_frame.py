"""Fuzz target: any bytes, in chunks, into the frame decoder."""

from __future__ import annotations

from microclaw.errors import ProtocolError
from microclaw.wire.wasmachine.frame import FrameDecoder, encode_frame

LIMIT = 4096


def fuzz_one(data: bytes) -> None:
    decoder = FrameDecoder(max_payload_bytes=LIMIT)
    chunk = 1 + (data[0] if data else 0) % 64
    accounted = 0
    try:
        for i in range(0, len(data), chunk):
            decoder.receive(data[i : i + chunk])
            while (frame := decoder.next_frame()) is not None:
                assert len(frame.payload) <= LIMIT
                accounted += len(encode_frame(frame.type, frame.payload))
    except ProtocolError:
        return
    assert accounted + decoder.skipped_bytes + decoder.buffered_bytes == len(data)
