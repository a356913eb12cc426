"""Fuzz target: any bytes as a frame, as a CONTROL payload, spoiling good ones. What is read is written the same."""

from __future__ import annotations

from collections.abc import Iterator

from microclaw.errors import LinkViolation
from microclaw.wire.link.codec import decode, encode
from microclaw.wire.link.frame import read_frame
from microclaw.wire.link.messages import AnyMessage, AppReport, Call, Envelope, ErrorInfo, Result, Telemetry

BODIES: tuple[AnyMessage, ...] = (
    Call("gpio.set", {"pin": 2, "levels": [0, 1, {"x": 1.5}]}, True),
    Result(False, {"raw": b"1234"}, ErrorInfo("code", "message")),
    Telemetry(1, 2, (AppReport("blink", "running"),), -60, 20.5),
)
GOOD = tuple(encode(Envelope(bytes(16), body, 1)) for body in BODIES)


def fuzz_one(data: bytes) -> None:
    for payload in (data, *spoiled(data)):
        try:
            envelope = decode(payload)
        except LinkViolation:
            continue
        assert decode(encode(envelope)) == envelope
    try:
        read_frame(data)
    except LinkViolation:
        return


def spoiled(data: bytes) -> Iterator[bytes]:
    """Good messages with the bytes written over them, put into them, and after them; the first byte says where."""
    for good in GOOD:
        if data:
            at = data[0] % len(good)
        else:
            at = 0
        part = data[1:9]
        yield good[:at] + part + good[at + len(part) :]
        yield good[:at] + part + good[at:]
        yield good + data
