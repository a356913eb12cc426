"""The control protocol's messages: literal lines both ways, refusals, and whatever bytes may come."""

from __future__ import annotations

import pytest

from microclaw.errors import CallRejected, ProtocolError
from microclaw.wire import board_control as control
from microclaw.wire import board_replies as replies

REQUESTS: list[tuple[control.AnyRequest, bytes]] = [
    (control.Info(), b'{"id":1,"op":"info"}\n'),
    (control.Pins(), b'{"id":1,"op":"pins"}\n'),
    (control.Edges(since=12), b'{"id":1,"op":"edges","since":12}\n'),
    (control.Log(), b'{"id":1,"op":"log","since":0}\n'),
    (control.Pwm(since=3), b'{"id":1,"op":"pwm","since":3}\n'),
    (control.Apps(), b'{"id":1,"op":"apps"}\n'),
    (control.SetInput(4, 1), b'{"id":1,"op":"set_input","pin":4,"level":1}\n'),
    (control.SetInput(4, 0, at_ms=2000.0), b'{"id":1,"op":"set_input","pin":4,"level":0,"at_ms":2000.0}\n'),
    (control.SetAdc(1, 1.65), b'{"id":1,"op":"set_adc","pin":1,"volts":1.65}\n'),
    (
        control.SetSensor("bme280", {"temperature_c": 31.5}),
        b'{"id":1,"op":"set_sensor","sensor":"bme280","values":{"temperature_c":31.5}}\n',
    ),
    (control.Leds(7), b'{"id":1,"op":"leds","since":7}\n'),
    (
        control.Py("write", {"offset": 0, "data": "TQY="}),
        b'{"id":1,"op":"py","method":"write","params":{"offset":0,"data":"TQY="}}\n',
    ),
    (control.Power("cut"), b'{"id":1,"op":"power","action":"cut"}\n'),
    (control.Fault("mute", 2), b'{"id":1,"op":"fault","name":"mute","count":2,"after_bytes":0}\n'),
    (control.Advance(600_000.0), b'{"id":1,"op":"advance","ms":600000.0}\n'),
    (control.Link(), b'{"id":1,"op":"link"}\n'),
    (control.LinkReset(), b'{"id":1,"op":"link_reset"}\n'),
    (
        control.LinkTask("t1", "what is the time"),
        b'{"id":1,"op":"link_task","task":"t1","input":"what is the time","kind":"agent","timeout_s":60}\n',
    ),
    (control.Mic("/t/a.wav"), b'{"id":1,"op":"mic","path":"/t/a.wav","trigger":"button"}\n'),
    (control.Speaker(hush=True), b'{"id":1,"op":"speaker","hush":true}\n'),
]

APP = replies.AppRow("blink", "running", None, 8192, 120, 96, (2,), None)
INFO = replies.BoardInfo(
    "virtual-1", "virtual", "ESP32-S3", "real", "new", 1, "ab12", True, 7.5, 18080, None, "/t/v.tty", 42
)
REPLIES: list[tuple[control.AnyRequest, object]] = [
    (control.Edges(), replies.EdgePage((replies.EdgeRow(500.0, 2, 1),), 1, 0, 512.0)),
    (control.Log(), replies.LogPage((replies.LogRow(1.0, None, "up"),), 1, 0)),
    (control.Pwm(), replies.PwmPage((replies.PwmRow(1.0, 5, 19, 50, 1500.0),), 1, 0)),
    (control.Speaker(), replies.SpeakerState(False, True, ("hello",), ("Hello.",), 0, 3)),
    (control.Apps(), replies.AppTable((APP,))),
    (control.Pins(), replies.PinTable((replies.PinRow(2, 1, "output", 0, 0, "blink"),))),
    (control.Info(), INFO),
    (control.Leds(), replies.LedPage((replies.LedRow(1.0, 4, "00ff00"),), 1, 0)),
    (control.Py("list"), replies.PyAnswer([{"name": "blink"}])),
    (control.Advance(5), replies.AdvanceResult(5.0, True, None)),
    (control.Power("on"), replies.Done(0.0)),
]
REFUSED: list[tuple[bytes, str, int]] = [
    *((line, "bad_json", 0) for line in (b"", b"[1]", b"\xff\xfe", b'{"id":1', b"[" * 5_000)),
    (b'{"id":' + b"9" * 5_000 + b"}", "bad_json", 0),
    (b'{"id":"x","op":"info"}', "bad_request", 0),
    (b'{"id":1}', "unknown_op", 1),
    (b'{"id":1,"op":"explode"}', "unknown_op", 1),
    (b'{"id":1,"op":"info","x":1}', "bad_request", 1),
    (b'{"id":1,"op":"edges","since":-1}', "bad_request", 1),
    (b'{"id":1,"op":"set_input","pin":400,"level":1}', "bad_request", 1),
    (b'{"id":1,"op":"set_adc","pin":1,"volts":NaN}', "bad_request", 1),
    (b'{"id":1,"op":"power","action":"off"}', "bad_request", 1),
    (b'{"id":-1,"op":"info"}', "bad_request", 0),
]


def test_every_request_is_its_line_and_back() -> None:
    for request, line in REQUESTS:
        assert control.encode_request(1, request) == line
        assert control.decode_request(line) == (1, request)
    assert {request.op for request, _ in REQUESTS} == set(control.OPS)


def test_a_reply_comes_back_as_it_was_and_to_its_own_request_alone() -> None:
    edges, page = REPLIES[0]
    assert b'"edges":[[500.0,2,1]],"next":1' in control.encode_reply(8, page)
    for request, reply in REPLIES:
        line = control.encode_reply(8, reply)
        assert control.read_reply(line, 8, request) == reply
        assert control.read_reply(line, 7, request) is None
    line = control.encode_failure(control.Failure(3, "pin_refused", "no GPIO 99", "choose a pin"))
    assert line == b'{"id":3,"ok":false,"error":"pin_refused","message":"no GPIO 99","next":"choose a pin"}\n'
    assert control.read_reply(line, 4, edges) is None
    with pytest.raises(CallRejected) as caught:
        control.read_reply(line, 3, edges)
    assert caught.value.next_step == "choose a pin"


def test_a_line_that_is_no_request_or_too_long_is_refused() -> None:
    for line, error, request_id in REFUSED:
        with pytest.raises(control.RequestRefused) as caught:
            control.decode_request(line)
        assert (caught.value.failure.error, caught.value.failure.id) == (error, request_id)
    with pytest.raises(ProtocolError):
        control.read_reply(b" " * (control.MAX_LINE_BYTES + 1), 1, control.Pins())


def test_full_edge_page_fits_one_line() -> None:
    row = replies.EdgeRow(86_399_999.999, 48, 1)
    page = replies.EdgePage((row,) * control.MAX_EDGES_A_PAGE, 2**40, 2**40, 86_399_999.999, True)
    assert len(control.encode_reply(2**52, page)) <= control.MAX_LINE_BYTES
