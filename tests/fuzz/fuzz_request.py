"""Fuzz target: any bytes as a request's payload, and its url as the virtual board reads it."""

from __future__ import annotations

from microclaw.errors import ProtocolError
from microclaw.virtual.firmware.receiver import url_number, url_tail, url_value
from microclaw.wire.wasmachine.request import Request


def fuzz_one(data: bytes) -> None:
    try:
        request = Request.decode(data)
    except ProtocolError:
        return
    assert request.encode() == data
    tail = url_tail(request.url, "/applet") or ""
    assert len(url_value(tail, "name", 126).encode("utf-8", "replace")) <= 3 * 126
    assert url_number(tail, "heap", 8192) >= 0
