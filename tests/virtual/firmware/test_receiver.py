"""The receiving state machine: what arrives for which bytes, whole and in pieces, and what wedges it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.virtual.conftest import CASES

from microclaw.virtual.firmware.receiver import (
    MAX_PAYLOAD_BYTES,
    Arrival,
    RefusedInstall,
    RequestReceiver,
)
from microclaw.wire.wasmachine.frame import MessageType, encode_frame
from microclaw.wire.wasmachine.request import WasmachineRequest, install_request, query_request

EMPTY = b"\0asm\x01\0\0\0"
MODULE = EMPTY + b"\x01\x04\x01\x60\0\0" + b"\x00\x05\x04name"


def receiver() -> RequestReceiver:
    return RequestReceiver(max_module_bytes=262_144)


def arrivals(link: RequestReceiver, data: bytes, step: int | None = None) -> list[Arrival]:
    got: list[Arrival] = []
    for at in range(0, len(data), step or len(data) or 1):
        link.receive(data[at : at + (step or len(data))])
        while (arrival := link.next_arrival()) is not None:
            got.append(arrival)
    return got


def install(mid: int, wasm: bytes, name: str = "a") -> bytes:
    return encode_frame(MessageType.INSTALL, install_request(mid, name, wasm).encode())


QUERY = encode_frame(MessageType.REQUEST, query_request(7).encode())


def test_request_whose_inner_lengths_do_not_add_up_wedges_for_good() -> None:
    link = receiver()
    payload = query_request(1).encode()
    assert arrivals(link, encode_frame(MessageType.REQUEST, payload + b"x")) == []
    assert arrivals(link, (QUERY + install(2, MODULE)) * 3) == []


def test_empty_module_arrives_never_and_silences_every_later_install() -> None:
    link = receiver()
    assert arrivals(link, install(1, EMPTY)) == []
    assert arrivals(link, install(2, MODULE)) == []
    assert arrivals(link, install(3, MODULE)) == []


def test_refusals_name_their_cause() -> None:
    for wasm, text in (
        (b"\0asm\x02\0\0\0", "invalid WASM version."),
        (EMPTY + b"\x0d\x01\x00", "invalid wasm section type 13"),
        (EMPTY + b"\x01\xff\xff\xff\xff\xff\xff\x00", "LEB overflow when parsing section size"),
        (EMPTY + b"\x01\xff\xff\xff\x7f\x00", "allocate memory failed"),
    ):
        assert arrivals(receiver(), install(3, wasm)) == [RefusedInstall(3, f"Install WASM app failed: {text}")]


def test_length_claim_over_the_limit_is_dropped_and_the_next_frame_arrives() -> None:
    for frame_type in (MessageType.REQUEST, MessageType.INSTALL, MessageType.RESPONSE):
        link = receiver()
        claim = b"\x12\x34" + int(frame_type).to_bytes(2, "big") + (2**31).to_bytes(4, "big")
        assert [type(a) for a in arrivals(link, claim + QUERY)] == [WasmachineRequest]
    assert MAX_PAYLOAD_BYTES < 2**31


_FRAMES = [case.to_device for case in CASES if case.to_device is not None]
_PIECES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(_FRAMES),
    st.sampled_from(_FRAMES).flatmap(lambda f: st.integers(0, len(f)).map(lambda n: f[:n])),
    st.tuples(st.integers(0, 6), st.integers(0, 2**32 - 1)).map(
        lambda t: b"\x12\x34" + t[0].to_bytes(2, "big") + t[1].to_bytes(4, "big")
    ),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(_PIECES, max_size=8), st.integers(1, 7))
def test_any_bytes_give_the_same_arrivals_in_any_pieces(pieces: list[bytes], step: int) -> None:
    stream = b"".join(pieces)
    assert arrivals(receiver(), stream) == arrivals(receiver(), stream, step)
