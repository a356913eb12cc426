from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microclaw.errors import LinkViolation
from microclaw.wire.link.frame import FrameLimits, FrameType, encode_frame, read_frame


@pytest.mark.parametrize(
    ("type_", "payload", "message"),
    [
        (FrameType.CONTROL, b"\xa0", b"\x01\xa0"),
        (FrameType.AUDIO_IN, b"\x00" * 640, b"\x02" + b"\x00" * 640),
        (FrameType.AUDIO_OUT, b"\xff" * 2_048, b"\x03" + b"\xff" * 2_048),
        (FrameType.BLOB, b"\x11" * 1_020, b"\x04" + b"\x11" * 1_020),
    ],
)
def test_frame_both_ways(type_: FrameType, payload: bytes, message: bytes) -> None:
    assert encode_frame(type_, payload) == message
    assert read_frame(message) == (type_, payload)


@given(st.sampled_from(FrameType), st.binary(min_size=13, max_size=1_020))
def test_round_trip(type_: FrameType, payload: bytes) -> None:
    assert read_frame(encode_frame(type_, payload)) == (type_, payload)


@pytest.mark.parametrize("type_", [0, 5, 255])
def test_an_unknown_type_is_read_as_it_is(type_: int) -> None:
    assert read_frame(bytes([type_]) + b"later") == (type_, b"later")


@pytest.mark.parametrize("message", [b"", b"\x02", b"\x03", b"\x04" + bytes(12)])
def test_empty_frame_is_malformed(message: bytes) -> None:
    with pytest.raises(LinkViolation) as caught:
        read_frame(message)
    assert (caught.value.close_code, caught.value.reason) == (4400, "malformed")


@pytest.mark.parametrize(("type_", "limit"), [(1, 16_384), (2, 2_048), (3, 2_048), (4, 1_020), (9, 16_384)])
def test_frame_over_limit_is_too_large(type_: int, limit: int) -> None:
    assert len(read_frame(bytes([type_]) + bytes(limit))[1]) == limit
    with pytest.raises(LinkViolation) as caught:
        read_frame(bytes([type_]) + bytes(limit + 1))
    assert (caught.value.close_code, caught.value.reason) == (4413, "too_large")
    assert FrameLimits().message_bytes == 16_385
