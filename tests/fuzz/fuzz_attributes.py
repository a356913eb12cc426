"""Fuzz target: any bytes as an attribute container; what was read survives being written and read again."""

from __future__ import annotations

from microclaw.errors import ProtocolError
from microclaw.wire.wasmachine.attributes import AttributeContainer, Generation


def fuzz_one(data: bytes) -> None:
    try:
        container = AttributeContainer.decode(data)
    except ProtocolError:
        return
    again = container.encode(Generation.NEW, pad_to=len(data))
    # Compared as text: a NaN is not equal to itself.
    assert repr(AttributeContainer.decode(again)) == repr(container)
