"""Fuzz target: any bytes as a line of the virtual board's control protocol, read by both ends."""

from __future__ import annotations

from microclaw.errors import CallRejected, ProtocolError
from microclaw.wire import board_control as control


def fuzz_one(data: bytes) -> None:
    try:
        request_id, request = control.decode_request(data)
    except ProtocolError:
        pass
    else:
        assert control.decode_request(control.encode_request(request_id, request)) == (request_id, request)
    for request_type in (control.Info, control.Pins, control.Edges, control.ReadLog):
        try:
            control.read_reply(data, 1, request_type())
        except (ProtocolError, CallRejected):
            continue
