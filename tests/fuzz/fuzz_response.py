"""Fuzz target: any bytes as a response's payload, read to the list of apps."""

from __future__ import annotations

from microclaw.errors import CallRejected, ProtocolError
from microclaw.wire.wasmachine.answers import read_applets
from microclaw.wire.wasmachine.request import Response


def fuzz_one(data: bytes) -> None:
    try:
        response = Response.decode(data)
    except ProtocolError:
        return
    assert response.encode() == data
    try:
        read_applets(response)
    except (ProtocolError, CallRejected):
        return
