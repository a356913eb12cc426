"""Fuzz target: any bytes as a request's payload."""

from __future__ import annotations

from microclaw.errors import ProtocolError
from microclaw.wire.wasmachine.request import AppletUrl, Request


def fuzz_one(data: bytes) -> None:
    try:
        request = Request.decode(data)
    except ProtocolError:
        return
    assert request.encode() == data
    try:
        AppletUrl.parse(request.url)
    except ProtocolError:
        return
