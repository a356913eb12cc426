from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microclaw.errors import LinkViolation
from microclaw.wire.link.frame import FrameType, encode_frame, read_frame


@given(st.sampled_from(FrameType), st.binary(min_size=13, max_size=1_020))
def test_a_frame_is_its_type_and_its_payload(type_: FrameType, payload: bytes) -> None:
    assert encode_frame(type_, payload) == bytes([type_]) + payload
    assert read_frame(encode_frame(type_, payload)) == (type_, payload)
    assert read_frame(b"\xff" + payload) == (255, payload)  # of a later version: read as it is


@pytest.mark.parametrize(("type_", "limit"), [(1, 16_384), (2, 2_048), (3, 2_048), (4, 1_020), (9, 16_384)])
def test_a_frame_without_a_payload_is_malformed_and_one_over_its_limit_too_large(type_: int, limit: int) -> None:
    assert len(read_frame(bytes([type_]) + bytes(limit))[1]) == limit
    empty = {2: b"\x02", 3: b"\x03", 4: b"\x04" + bytes(12)}.get(type_, b"")
    for message, code, reason in ((bytes([type_]) + bytes(limit + 1), 4413, "too_large"), (empty, 4400, "malformed")):
        with pytest.raises(LinkViolation) as caught:
            read_frame(message)
        assert (caught.value.close_code, caught.value.reason) == (code, reason)
