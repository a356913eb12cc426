"""Fuzz target: any bytes as lines, each read as every kind of reply."""

from __future__ import annotations

from microclaw.devices.registry.calls import AdcReading, PinLevel, PwmState
from microclaw.errors import CallRejected, NotSupported, ProtocolError
from microclaw.wire import jsonline

LIMIT = 512


def fuzz_one(data: bytes) -> None:
    decoder = jsonline.LineDecoder(max_line_bytes=LIMIT)
    chunk = 1 + (data[0] if data else 0) % 64
    for i in range(0, len(data), chunk):
        decoder.receive(data[i : i + chunk])
        while True:
            try:
                line = decoder.next_line()
            except ProtocolError:
                continue
            if line is None:
                break
            assert 0 < len(line) <= LIMIT
            _read(line)
    assert len(decoder.buffer) <= LIMIT + chunk


def _read(line: bytes) -> None:
    try:
        reply = jsonline.parse_object(line)
    except ProtocolError:
        return
    readers = (
        lambda: jsonline.values_reply(reply, {"pin": 2, "level": 1}, PinLevel),
        lambda: jsonline.values_reply(reply, {"pin": 1}, AdcReading),
        lambda: jsonline.values_reply(reply, {"pin": 5, "duty": 128, "frequency_hz": 5000}, PwmState),
        lambda: jsonline.sensor_reply(reply),
        lambda: jsonline.sensors_reply(reply),
        lambda: jsonline.info_reply(reply),
    )
    for read in readers:
        try:
            read()
        except (ProtocolError, CallRejected, NotSupported):
            continue
