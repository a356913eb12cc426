"""The control protocol: what is no request is refused. Each op both ways: tests/virtual/ports, tests/fuzz."""

from __future__ import annotations

import pytest

from microclaw.errors import ProtocolError
from microclaw.wire import board_control as control

REFUSED: list[tuple[bytes, str, int]] = [
    *((line, "bad_json", 0) for line in (b"", b"[1]", b"\xff\xfe", b'{"id":1', b"[" * 5_000)),
    (b'{"id":' + b"9" * 5_000 + b"}", "bad_json", 0),
    (b'{"id":1,"op":"explode"}', "unknown_op", 1),
    (b'{"id":1,"op":"info","x":1}', "bad_request", 1),
    (b'{"id":1,"op":"set_input","pin":400,"level":1}', "bad_request", 1),
    (b'{"id":1,"op":"set_adc","pin":1,"volts":NaN}', "bad_json", 0),
    (b'{"id":-1,"op":"info"}', "bad_request", 0),
]


def test_a_line_that_is_no_request_or_too_long_is_refused() -> None:
    for line, error, request_id in REFUSED:
        with pytest.raises(control.RequestRefused) as caught:
            control.decode_request(line)
        assert (caught.value.failure.error, caught.value.failure.id) == (error, request_id)
    with pytest.raises(ProtocolError):
        control.read_reply(b" " * (control.MAX_LINE_BYTES + 1), 1, control.Pins())
