"""Fuzz target: any bytes as an attribute container; what was read survives being written and read again."""

from __future__ import annotations

from microclaw.errors import ProtocolError
from microclaw.wire.wasmachine.attributes import AttributeContainer, Generation, generation_of


def fuzz_one(data: bytes) -> None:
    for assume in Generation:
        try:
            container = AttributeContainer.decode(data, assume=assume)
            generation = generation_of(data) or assume
        except ProtocolError:
            continue
        try:
            again = container.encode(generation, pad_to=len(data))
        except ValueError:
            continue  # read as the other generation, whose types this one lacks
        # Compared as text: a NaN is not equal to itself.
        assert repr(AttributeContainer.decode(again, assume=generation)) == repr(container)
