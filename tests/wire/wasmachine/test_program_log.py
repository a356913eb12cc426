"""The lines that a program keeps, as they travel: whole, hostile, and of another kind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from microclaw.errors import ProtocolError
from microclaw.wire.wasmachine.program_log import KeptLine, ProgramLog, read_log
from microclaw.wire.wasmachine.request import FORMAT_ATTRIBUTES, FORMAT_RAW, CoapCode, Response

LOG = ProgramLog(10, 500, 7, 9, (KeptLine(20, "a", False), KeptLine(30, "b" * 120, True)))


def _response(body: bytes) -> Response:
    return Response(CoapCode.CONTENT, 1, body, FORMAT_RAW)


@given(
    first=st.integers(0, 2**31),
    lines=st.lists(st.tuples(st.integers(0, 2**32 - 1), st.text("abc1", max_size=120), st.booleans()), max_size=8),
)
def test_log_comes_back_as_it_was(first: int, lines: list[tuple[int, str, bool]]) -> None:
    log = ProgramLog(0, 1, first, first + len(lines), tuple(KeptLine(*line) for line in lines))
    assert read_log(_response(log.encode())) == log


def test_a_part_of_it_and_an_answer_of_another_kind_are_refused() -> None:
    whole = _response(LOG.encode())
    parts = [_response(whole.body[:size]) for size in range(len(whole.body))]
    for wrong in (*parts, replace(whole, status=160), replace(whole, format=FORMAT_ATTRIBUTES)):
        with pytest.raises(ProtocolError):
            read_log(wrong)
