"""Fuzz target: any bytes as lines, each read as every kind of reply."""

from __future__ import annotations

from microclaw.errors import CallRejected, DeviceLied, NotSupported, ProtocolError
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
    assert decoder.buffered_bytes <= LIMIT + chunk


def _read(line: bytes) -> None:
    try:
        reply = jsonline.parse_object(line)
    except ProtocolError:
        return
    readers = (
        lambda: jsonline.gpio_reply(reply, 2, 1),
        lambda: jsonline.adc_reply(reply, 1),
        lambda: jsonline.pwm_reply(reply, 5, 128, 5000),
        lambda: jsonline.sensor_reply(reply, "ina219"),
        lambda: jsonline.sensors_reply(reply),
        lambda: jsonline.info_reply(reply),
    )
    for read in readers:
        try:
            read()
        except (ProtocolError, CallRejected, DeviceLied, NotSupported):
            continue
