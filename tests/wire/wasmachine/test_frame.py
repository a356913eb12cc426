from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.wire.conftest import CapturedFrame

from microclaw.errors import ProtocolError
from microclaw.wire.wasmachine.frame import HEADER, LEADER, Frame, FrameDecoder, FrameType, encode_frame


def drain(decoder: FrameDecoder) -> list[Frame]:
    frames = []
    while (frame := decoder.next_frame()) is not None:
        frames.append(frame)
    return frames


def whole(raw: bytes) -> Frame:
    frame_type = int.from_bytes(raw[2:4], "big")
    return Frame(frame_type, raw[HEADER.size :])


def test_captured_frames_are_read_byte_by_byte_and_encoded_again(all_captured: list[CapturedFrame]) -> None:
    decoder = FrameDecoder()
    for captured in all_captured:
        for byte in captured.raw[:-1]:
            decoder.receive(bytes((byte,)))
            assert decoder.next_frame() is None
        decoder.receive(captured.raw[-1:])
        [frame] = drain(decoder)
        assert frame == whole(captured.raw)
        assert encode_frame(frame.type, frame.payload) == captured.raw
    assert (decoder.skipped_bytes, decoder.buffered_bytes) == (0, 0)


def test_install_has_a_type_of_its_own(all_captured: list[CapturedFrame]) -> None:
    raws = [frame.raw for frame in all_captured if b"\0asm" in frame.raw]
    assert raws
    assert {whole(raw).type for raw in raws} == {FrameType.INSTALL}


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=60)), max_size=6), st.integers(1, 17))
@settings(max_examples=60, deadline=None)
def test_frames_survive_any_chunking(frames: list[tuple[int, bytes]], chunk: int) -> None:
    stream = b"".join(encode_frame(t, p) for t, p in frames)
    decoder = FrameDecoder()
    got: list[Frame] = []
    for i in range(0, len(stream), chunk):
        decoder.receive(stream[i : i + chunk])
        got += drain(decoder)
    assert got == [Frame(t, p) for t, p in frames]


@given(st.binary(max_size=80).filter(lambda b: LEADER not in b and not b.endswith(b"\x12")))
@settings(max_examples=60, deadline=None)
def test_garbage_before_a_frame_is_skipped_and_counted(garbage: bytes) -> None:
    decoder = FrameDecoder()
    decoder.receive(garbage + encode_frame(3, b"payload"))
    assert drain(decoder) == [Frame(3, b"payload")]
    assert decoder.skipped_bytes == len(garbage)


def test_leader_split_over_two_chunks_is_found() -> None:
    decoder = FrameDecoder()
    raw = encode_frame(3, b"x")
    decoder.receive(b"noise" + raw[:1])
    assert decoder.next_frame() is None
    decoder.receive(raw[1:])
    assert decoder.next_frame() == Frame(3, b"x")
    assert decoder.skipped_bytes == 5


@pytest.mark.parametrize("claim", [5, 2**31, 2**32 - 1])
def test_frame_over_the_limit_is_refused_before_its_payload_comes(claim: int) -> None:
    decoder = FrameDecoder(max_payload_bytes=4)
    decoder.receive(HEADER.pack(LEADER, 3, claim))
    with pytest.raises(ProtocolError):
        decoder.next_frame()


def test_good_frames_before_a_refused_one_are_not_lost() -> None:
    decoder = FrameDecoder(max_payload_bytes=4)
    decoder.receive(encode_frame(3, b"1") + encode_frame(3, b"2") + HEADER.pack(LEADER, 3, 9))
    assert [decoder.next_frame(), decoder.next_frame()] == [Frame(3, b"1"), Frame(3, b"2")]
    with pytest.raises(ProtocolError):
        decoder.next_frame()


def test_a_refused_stream_stays_refused_and_holds_nothing() -> None:
    decoder = FrameDecoder(max_payload_bytes=4)
    decoder.receive(HEADER.pack(LEADER, 3, 9))
    for _ in range(2):
        with pytest.raises(ProtocolError):
            decoder.next_frame()
        decoder.receive(encode_frame(3, b"ok") * 100)
        assert decoder.buffered_bytes == 0


def test_garbage_is_not_kept() -> None:
    decoder = FrameDecoder()
    for _ in range(20_000):
        decoder.receive(b"garbage " * 64)
        assert decoder.next_frame() is None
    assert decoder.buffered_bytes <= 1
    assert decoder.skipped_bytes + decoder.buffered_bytes == 20_000 * 512
