from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.wire.conftest import CAPTURED, CapturedFrame

from microclaw.errors import ProtocolError
from microclaw.wire.wasmachine.attributes import Attribute, AttributeContainer, AttributeType, Generation
from microclaw.wire.wasmachine.frame import HEADER, MessageType
from microclaw.wire.wasmachine.request import FORMAT_ATTRIBUTES, Response, WasmachineRequest

A = AttributeType
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)


def integers(bits: int, signed: bool) -> st.SearchStrategy[int]:
    if signed:
        return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return st.integers(0, 2**bits - 1)


VALUES: dict[AttributeType, st.SearchStrategy[object]] = {
    A.BYTE: integers(8, True),
    A.SHORT: integers(16, True),
    A.INT: integers(32, True),
    A.INT64: integers(64, True),
    A.UINT8: integers(8, False),
    A.UINT16: integers(16, False),
    A.UINT32: integers(32, False),
    A.UINT64: integers(64, False),
    A.FLOAT: st.floats(width=32, allow_nan=False),
    A.DOUBLE: st.floats(allow_nan=False),
    A.BOOL: st.booleans(),
    A.STRING: TEXTS,
    A.BYTES: st.binary(max_size=30),
}


def attributes(types: list[AttributeType]) -> st.SearchStrategy[Attribute]:
    return st.sampled_from(types).flatmap(lambda t: st.builds(Attribute, NAMES, st.just(t), VALUES[t]))


def containers(types: list[AttributeType]) -> st.SearchStrategy[AttributeContainer]:
    return st.builds(AttributeContainer, TEXTS, st.lists(attributes(types), max_size=6).map(tuple))


def body_of(raw: bytes) -> bytes:
    if int.from_bytes(raw[2:4], "big") == MessageType.RESPONSE:
        response = Response.decode(raw[HEADER.size :])
        return response.body if response.format == FORMAT_ATTRIBUTES else b""
    request = WasmachineRequest.decode(raw[HEADER.size :])
    return request.body if request.format == FORMAT_ATTRIBUTES else b""


def generation(captured: CapturedFrame) -> Generation:
    is_of_app = captured.case.startswith(("request to an app", "events pushed"))
    return Generation.OLD if captured.runtime.startswith("WAMR 1.1") and not is_of_app else Generation.NEW


def test_captured_containers_encode_to_the_same_bytes_with_the_padding_that_the_manager_reserves() -> None:
    checked = 0
    for captured in CAPTURED:
        body = body_of(captured.raw)
        if body:
            container = AttributeContainer.decode(body)
            if captured.case.startswith(("request to an app", "events pushed")):  # those are the app's own
                assert body[6:].startswith(container.encode(generation(captured))[6:])
            else:
                assert container.encode(generation(captured), as_device=True) == body
                checked += 1
    assert checked == 28


@given(containers(list(A)))
def test_new_container_survives_the_wire(container: AttributeContainer) -> None:
    assert AttributeContainer.decode(container.encode(Generation.NEW)) == container


@given(containers([A.STRING, A.INT, A.BOOL, A.DOUBLE]))
def test_either_generation_is_read_when_a_string_tells(container: AttributeContainer) -> None:
    told = AttributeContainer(container.tag, (*container.values, Attribute("k", A.STRING, "v")))
    for generation in Generation:
        raw = told.encode(generation)
        assert AttributeContainer.decode(raw) == told


def test_old_containers_that_may_be_read_in_two_ways_are_told_by_what_follows_and_else_read_as_todays() -> None:
    raw = AttributeContainer("t", (Attribute("k", A.FLOAT, 1.5),)).encode(Generation.OLD)
    assert AttributeContainer.decode(raw).values[0].type is A.UINT32
    raw = AttributeContainer("t", (Attribute("k", A.BYTES, b"four"),)).encode(Generation.OLD, as_device=True)
    assert AttributeContainer.decode(raw).get("k") == b"four"


GOOD = AttributeContainer.of("tag", {"text": "hello", "n": 7, "raw": b"abc", "f": 1.0}).encode(Generation.NEW)
BROKEN = {
    "a tag without its NUL": "0000 09000000 0100 78 0000",
    "no tag at all": "0000 09000000 0000 0000",
    "more values than bytes": "0000 ffffffff 0100 00 ffff",
    "type 99": "0000 20000000 0100 00 0100 0200 6b00 63 00000000",
    "a key without a name": "0000 20000000 0100 00 0100 0100 00 02 00000000",
    "a string that is not UTF-8": "0000 20000000 0100 00 0100 0200 6b00 0d 0200 ff00",
    "bytes of 4 GB": "0000 20000000 0100 00 0100 0200 6b00 0e ffffffff 00",
}


def test_container_that_is_broken_or_cut_anywhere_is_refused() -> None:
    for body in (*(GOOD[:cut] for cut in range(len(GOOD))), *map(bytes.fromhex, BROKEN.values())):
        with pytest.raises(ProtocolError):
            AttributeContainer.decode(body)


TOO_MUCH: tuple[tuple[AttributeType, str | float], ...] = (
    (A.INT, 2**31), (A.BYTE, -129), (A.UINT16, -1), (A.INT, "1"), (A.STRING, 1), (A.STRING, "a\0b"),
    (A.STRING, "x" * 0xFFFF), (A.BYTES, "x"), (A.FLOAT, 1e300), (A.INT, 1.5),
)  # fmt: skip


def test_value_or_key_that_cannot_be_sent_is_refused() -> None:
    for kind, value in TOO_MUCH:
        with pytest.raises(ValueError, match=r"k|string"):
            AttributeContainer("t", (Attribute("k", kind, value),)).encode(Generation.NEW)
    for kind in (A.UINT8, A.UINT32, A.UINT64):  # they came later
        with pytest.raises(ValueError, match=f"old containers have no type {kind.name.lower()}"):
            AttributeContainer("t", (Attribute("k", kind, 1),)).encode(Generation.OLD)
    for key in ("", "a\0", "x" * 0xFFFF):
        with pytest.raises(ValueError, match="key"):
            AttributeContainer.of("t", {key: 1}).encode(Generation.NEW)
