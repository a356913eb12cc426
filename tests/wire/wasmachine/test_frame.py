from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.wire.conftest import CAPTURED

from microclaw.errors import ProtocolError
from microclaw.wire.wasmachine.frame import HEADER, LEADER, Frame, FrameDecoder, encode_frame


def drain(decoder: FrameDecoder) -> list[Frame]:
    frames = []
    while (frame := decoder.next_frame()) is not None:
        frames.append(frame)
    return frames


def whole(raw: bytes) -> Frame:
    frame_type = int.from_bytes(raw[2:4], "big")
    return Frame(frame_type, raw[HEADER.size :])


def test_captured_frames_are_read_byte_by_byte_and_encoded_again() -> None:
    decoder = FrameDecoder()
    for captured in CAPTURED:
        for byte in captured.raw[:-1]:
            decoder.receive(bytes((byte,)))
            assert decoder.next_frame() is None
        decoder.receive(captured.raw[-1:])
        [frame] = drain(decoder)
        assert frame == whole(captured.raw)
        assert encode_frame(frame.type, frame.payload) == captured.raw
    assert (decoder.skipped_bytes, len(decoder.buffer)) == (0, 0)


@given(st.binary(max_size=80).filter(lambda b: LEADER not in b and not b.endswith(b"\x12")))
@settings(max_examples=60, deadline=None)
def test_garbage_before_a_frame_is_skipped_and_counted(garbage: bytes) -> None:
    decoder = FrameDecoder()
    decoder.receive(garbage + encode_frame(3, b"payload"))
    assert drain(decoder) == [Frame(3, b"payload")]
    assert decoder.skipped_bytes == len(garbage)


@pytest.mark.parametrize("claim", [5, 2**31, 2**32 - 1])
def test_a_frame_over_the_limit_is_refused_before_its_payload_comes_and_the_stream_stays_refused(claim: int) -> None:
    decoder = FrameDecoder(max_payload_bytes=4)
    good = encode_frame(3, b"1") + encode_frame(3, b"2")
    decoder.receive(b"noise" + good[:1])
    assert decoder.next_frame() is None
    decoder.receive(good[1:] + HEADER.pack(LEADER, 3, claim))
    assert [decoder.next_frame(), decoder.next_frame()] == [Frame(3, b"1"), Frame(3, b"2")]  # those before are not lost
    for _ in range(2):
        with pytest.raises(ProtocolError):
            decoder.next_frame()
        assert len(decoder.buffer) == HEADER.size
        decoder.receive(encode_frame(3, b"ok") * 100)
