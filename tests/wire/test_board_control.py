"""The control protocol's messages: literal lines both ways, refusals, and whatever bytes may come."""

from __future__ import annotations

import pytest

from microclaw.errors import ProtocolError
from microclaw.wire import board_control as control

REQUESTS: list[tuple[control.AnyRequest, bytes]] = [
    (control.Info(), b'{"id":1,"op":"info"}\n'),
    (control.Edges(since=12), b'{"id":1,"op":"edges","since":12}\n'),
    (control.SetInput(4, 0, at_ms=2000.0), b'{"id":1,"op":"set_input","pin":4,"level":0,"at_ms":2000.0}\n'),
    (control.SetAdc(1, 1.65), b'{"id":1,"op":"set_adc","pin":1,"volts":1.65}\n'),
    (
        control.Py("write", {"offset": 0, "data": "TQY="}),
        b'{"id":1,"op":"py","method":"write","params":{"offset":0,"data":"TQY="}}\n',
    ),
    (control.Fault("mute", 2), b'{"id":1,"op":"fault","name":"mute","count":2,"after_bytes":0}\n'),
    (control.Advance(600_000.0), b'{"id":1,"op":"advance","ms":600000.0}\n'),
    (control.Speaker(hush=True), b'{"id":1,"op":"speaker","hush":true}\n'),
]
REFUSED: list[tuple[bytes, str, int]] = [
    *((line, "bad_json", 0) for line in (b"", b"[1]", b"\xff\xfe", b'{"id":1', b"[" * 5_000)),
    (b'{"id":' + b"9" * 5_000 + b"}", "bad_json", 0),
    (b'{"id":1,"op":"explode"}', "unknown_op", 1),
    (b'{"id":1,"op":"info","x":1}', "bad_request", 1),
    (b'{"id":1,"op":"set_input","pin":400,"level":1}', "bad_request", 1),
    (b'{"id":1,"op":"set_adc","pin":1,"volts":NaN}', "bad_request", 1),
    (b'{"id":-1,"op":"info"}', "bad_request", 0),
]


def test_every_request_is_its_line_and_back() -> None:
    for request, line in REQUESTS:
        assert control.encode_request(1, request) == line
        assert control.decode_request(line) == (1, request)


def test_a_line_that_is_no_request_or_too_long_is_refused() -> None:
    for line, error, request_id in REFUSED:
        with pytest.raises(control.RequestRefused) as caught:
            control.decode_request(line)
        assert (caught.value.failure.error, caught.value.failure.id) == (error, request_id)
    with pytest.raises(ProtocolError):
        control.read_reply(b" " * (control.MAX_LINE_BYTES + 1), 1, control.Pins())
