from __future__ import annotations

from pathlib import Path
from typing import Any

import cbor2
import pycddl  # type: ignore[import-untyped]  # a compiled module without stubs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.wire.conftest import read_page
from tests.wire.link.examples import ASKED, EXAMPLES, ID, NOW_MS

from microclaw.errors import LinkViolation, ProtocolError
from microclaw.wire.link.codec import decode, encode, numbered
from microclaw.wire.link.messages import (
    MESSAGES,
    AnyBody,
    AppReport,
    Call,
    Envelope,
    Event,
    PairCode,
    PairDone,
    PairRequest,
    Ping,
    Telemetry,
    Unknown,
)

ROOT = Path(__file__).parents[3]
VECTORS = {name: bytes.fromhex("".join(text.split())) for name, text in read_page("link.md", "message").items()}
SCHEMA = pycddl.Schema((ROOT / "docs/protocols/link.cddl").read_text())
PING: dict[str, Any] = {"v": 1, "type": "ping", "id": ID, "ts": 1, "body": {"n": 1, "t0": 2}}


def refusal(message: object) -> LinkViolation:
    with pytest.raises(LinkViolation) as caught:
        decode(message if isinstance(message, bytes) else cbor2.dumps(message))
    return caught.value


def call_with(params: object) -> dict[str, object]:
    body = {"method": "x", "params": params, "idempotent": True}
    return {"v": 1, "type": "call", "id": ID, "ts": 1, "body": body}


def test_every_message_has_a_vector() -> None:
    assert VECTORS.keys() == EXAMPLES.keys()
    assert {name.split("-")[0] for name in EXAMPLES} == MESSAGES.keys()


@pytest.mark.parametrize("name", EXAMPLES)
def test_vector_both_ways_as_the_cddl_says_and_refused_when_cut_anywhere(name: str) -> None:
    assert decode(VECTORS[name]) == EXAMPLES[name]
    assert encode(EXAMPLES[name]) == VECTORS[name]
    SCHEMA.validate_cbor(VECTORS[name])
    for size in range(len(VECTORS[name])):
        assert refusal(VECTORS[name][:size]).close_code == 4400


def test_a_body_without_a_key_is_judged_by_codec_and_cddl_alike_and_a_value_of_another_type_refused() -> None:
    keys: dict[tuple[str, str], tuple[dict[str, Any], object]] = {}
    for message in map(cbor2.loads, VECTORS.values()):
        keys |= {(message["type"], key): (message, value) for key, value in message["body"].items()}
    for (type_, key), (message, value) in keys.items():
        less = {**message, "body": {k: v for k, v in message["body"].items() if k != key}}
        try:
            decode(cbor2.dumps(less))
            accepted = True
        except LinkViolation:
            accepted = False
        assert accepted == is_valid(less), f"{type_} without {key}"
        if (type_, key) == ("result", "value"):
            continue
        others: tuple[object, ...] = (b"?", [[]], -1.5, 7 if isinstance(value, str) else "x")
        for one in others:
            if type(one) is not type(value):
                refusal({**message, "body": {**message["body"], key: one}})


def is_valid(message: object) -> bool:
    try:
        SCHEMA.validate_cbor(cbor2.dumps(message))
    except pycddl.ValidationError:
        return False
    return True


TEXT = st.text(max_size=20)
UINT = st.integers(0, 2**63 - 1)
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | TEXT | st.binary(max_size=20)
    | st.floats(allow_nan=False, allow_infinity=False)
)  # fmt: skip
INNER = SCALARS | st.lists(SCALARS, max_size=4) | st.dictionaries(TEXT, SCALARS, max_size=4)
VALUES = INNER | st.lists(INNER, max_size=4) | st.dictionaries(TEXT, INNER, max_size=4)


@given(st.dictionaries(TEXT, VALUES, max_size=5), UINT, st.integers(1, 2**63 - 1))
def test_round_trip_and_a_number_that_is_given_later(data: dict[str, Any], ts_ms: int, seq: int) -> None:
    for body in (Event("e", data), Call("m", data, False, ts_ms), Unknown("later", data)):
        envelope = Envelope(ID, body, ts_ms, 1, ASKED)
        assert decode(encode(envelope)) == envelope
    plain = Envelope(ID, Call("m", data, False, ts_ms), ts_ms)
    assert decode(numbered(encode(plain), seq)) == Envelope(ID, plain.body, ts_ms, seq)


def test_what_a_later_version_adds_is_kept_or_ignored_and_is_plain_data_at_any_depth() -> None:
    message = decode(cbor2.dumps({**PING, "type": "sing", "body": {"song": 1}}))
    assert message.body == Unknown("sing", {"song": 1})
    later = {**PING, "later": [1, None], "body": {"n": 1, "t0": 2, "more": {"a": None}}}
    assert decode(cbor2.dumps(later)).body == Ping(1, 2)
    hello = cbor2.loads(VECTORS["hello"])
    for value, is_taken in ((1, True), (float("inf"), False)):
        more = {**hello, "body": {**hello["body"], "firmware": {**hello["body"]["firmware"], "x": value}}}
        assert decode(cbor2.dumps(more)) if is_taken else refusal(more)
    violation = refusal({**PING, "v": 2})
    assert (violation.reason, violation.close_code) == ("unsupported_version", 4400)
    assert "version 2" in violation.message


def test_text_is_not_taken_for_bytes_in_base64_and_an_optional_key_is_never_null() -> None:
    for name, key in (("pair_request", "csr"), ("ota_offer", "signature"), ("hello", "boot_id"), ("hello", "rx_epoch")):
        message = cbor2.loads(VECTORS[name])
        for text in ("AAAA", "AAAAAAAAAAA=", "AAAAAAAAAAAAAAAAAAAAAA=="):
            refusal({**message, "body": {**message["body"], key: text}})
    for name, key in (("hello", "rx_epoch"), ("hello", "audio"), ("telemetry", "rssi"), ("bye", "retry_after_s")):
        message = cbor2.loads(VECTORS[name])
        refusal({**message, "body": {**message["body"], key: None}})


@pytest.mark.parametrize(
    "change",
    [
        {"v": "1"}, {"v": True}, {"type": 1}, {"id": b"short"}, {"id": "x" * 16}, {"ts": -1}, {"ts": 2**63},
        {"ts": 1.0}, {"body": []}, {"body": None}, {"seq": 0}, {"seq": None}, {"re": b""}, {"extra": float("nan")},

        {"re": None}, {"id": "AAAAAAAAAAAAAAAAAAAAAA=="}, {"re": "AAAAAAAAAAAAAAAAAAAAAA=="},
        {"extra": cbor2.undefined}, {"extra": cbor2.CBORSimpleValue(9)}, {b"extra": 1}, {"extra": {b"k": 1}},
    ],
    ids=str,
)  # fmt: skip
def test_a_bad_envelope_is_refused(change: dict[Any, Any]) -> None:
    assert refusal({**PING, **change}).close_code == 4400


def in_params(raw: str) -> bytes:
    """A call with these bytes as its params."""
    head, tail = cbor2.dumps(call_with("@@")).split(b"b@@")
    return head + bytes.fromhex(raw) + tail


TAGS = ("c0", "c1", "c2", "c3", "c4", "d820", "d823", "d81c", "d81d", "d9d9f7", "d90100", "d9ffff")
CLAIMS = ("9b000000ffffffffff", "9a0fffffff", "bb00000000ffffffff", "ba7fffffff", "7a7fffffff", "5b7fffffffffffffff")
REFUSED = {
    **{f"tag {tag}": bytes.fromhex(tag) + VECTORS["call"] for tag in TAGS},
    **{f"tag {tag} within": VECTORS["call"].replace(b"ethod", b"ethod" + bytes.fromhex(tag), 1) for tag in TAGS},
    **{f"claim {claim}": bytes.fromhex(claim) for claim in CLAIMS},
    **{f"claim {claim} and bytes": bytes.fromhex(claim) + bytes(16_000) for claim in CLAIMS},
    **{f"indefinite {raw}": in_params(raw) for raw in ("bf616101ff", "9f01ff", "7f6161ff", "5f4161ff")},
    **{f"key {key}": in_params(f"a1{key}01") for key in ("f97e00", "01", "f6", "4161", "80", "f5")},
    "the same key twice": bytes.fromhex("a2 6176 01 6176 01"),
    "the same key twice within": in_params("a2 6161 01 6161 01"),
    "a byte after the message": VECTORS["ping"] + b"\xf6",
    "two messages": VECTORS["ping"] * 2,
    **{str(n): cbor2.dumps(call_with({"x": [n]})) for n in (float("nan"), float("inf"), -float("inf"))},
}


def test_what_cbor_may_hold_and_the_link_may_not_is_refused() -> None:
    for what, message in REFUSED.items():
        assert refusal(message).close_code == 4400, what


def test_eight_levels_and_256_items_are_the_most() -> None:
    def nested(levels: int) -> object:
        if levels == 1:
            return {"x": 1}
        return {"x": nested(levels - 1)}

    for good, bad in ((nested(6), nested(7)), ({"x": [0] * 256}, {"x": [0] * 257})):
        assert decode(cbor2.dumps(call_with(good)))
        refusal(call_with(bad))
    for depth in (b"\x81" * 5_000 + b"\x01", b"\xa1\x61a" * 5_000 + b"\x01"):
        refusal(depth)
    for wide in ({"extra": [0] * 257}, {str(n): n for n in range(257)}):
        refusal({**PING, **wide})


BODIES: tuple[AnyBody, ...] = (
    Call("x", {"x": float("nan")}, True), Call("x", {"x": 2**63}, True), Ping(-1, 0), Ping(1, 2**63),
    Call("x", {"x": {"x": {"x": {"x": {"x": {"x": {}}}}}}}, True), Call("x", {"x": "y" * 16_384}, True),
    Telemetry(1, 1, (AppReport("a", "b"),) * 257), PairCode("12345a", 1), PairDone(), PairRequest("b", b"csr", True),
    Call("x", {1: 2}, True), Call("x", {"x": object()}, True), Call("\ud800", {}, True),  # type: ignore[dict-item]
)  # fmt: skip
ENVELOPES = (
    *(Envelope(ID, body, NOW_MS) for body in BODIES),
    *(Envelope(b"short", Ping(1, 2)), Envelope(ID, Ping(1, 2), -1), Envelope(ID, Ping(1, 2), 0, 0)),
)


def test_what_a_decoder_would_refuse_is_not_encoded() -> None:
    for envelope in ENVELOPES:
        with pytest.raises(ProtocolError):
            encode(envelope)
