"""The control protocol's messages: literal lines both ways, refusals, and whatever bytes may come."""

from __future__ import annotations

import json

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
REPLIES: list[tuple[control.AnyRequest, object, str]] = [
    (control.Edges(), replies.EdgePage((replies.EdgeRow(500.0, 2, 1),), 1, 0, 512.0), '"edges":[[500.0,2,1]],"next":1'),
    (control.Log(), replies.LogPage((replies.LogRow(1.0, None, "up"),), 1, 0), '"lines":[[1.0,null,"up"]]'),
    (
        control.Pwm(),
        replies.PwmPage((replies.PwmRow(1.0, 5, 19, 50, 1500.0),), 1, 0),
        '"changes":[[1.0,5,19,50,1500.0]]',
    ),
    (
        control.Speaker(),
        replies.SpeakerState(False, True, ("hello",), ("Hello.",), 0, 3),
        '"heard":["hello"],"said":["Hello."],"glitches":0,"stale":3',
    ),
    (control.Apps(), replies.AppTable((APP,)), '"apps":[{"name":"blink","state":"running"'),
    (control.Pins(), replies.PinTable((replies.PinRow(2, 1, "output", 0, 0, "blink"),)), '"pins":[{"pin":2,"level":1'),
    (control.Info(), INFO, '"name":"virtual-1"'),
    (control.Leds(), replies.LedPage((replies.LedRow(1.0, 4, "00ff00"),), 1, 0), '"changes":[[1.0,4,"00ff00"]]'),
    (control.Py("list"), replies.PyAnswer([{"name": "blink"}]), '"value":[{"name":"blink"}]'),
    (control.Advance(5), replies.AdvanceResult(5.0, True, None), '"idle":true,"stuck":null'),
    (control.Power("on"), replies.Done(0.0), '"now_ms":0.0'),
]


@pytest.mark.parametrize(("request_", "line"), REQUESTS, ids=lambda v: v.op if isinstance(v, control.Request) else "")
def test_request_is_this_line_and_back(request_: control.AnyRequest, line: bytes) -> None:
    assert control.encode_request(1, request_) == line
    assert control.decode_request(line) == (1, request_)


def test_every_op_has_a_vector() -> None:
    assert {request.op for request, _ in REQUESTS} == set(control.OPS)


@pytest.mark.parametrize(
    ("request_", "reply", "part"), REPLIES, ids=lambda v: v.op if isinstance(v, control.Request) else ""
)
def test_reply_comes_back_as_it_was(request_: control.AnyRequest, reply: object, part: str) -> None:
    line = control.encode_reply(8, reply)
    assert part in line.decode()
    assert control.read_reply(line, 8, request_) == reply
    assert control.read_reply(line, 7, request_) is None


def test_failure_raises_with_its_next_step() -> None:
    line = control.encode_failure(control.Failure(3, "pin_refused", "no GPIO 99", "choose a pin"))
    assert line == b'{"id":3,"ok":false,"error":"pin_refused","message":"no GPIO 99","next":"choose a pin"}\n'
    with pytest.raises(CallRejected) as caught:
        control.read_reply(line, 3, control.Pins())
    assert caught.value.next_step == "choose a pin"
    assert control.read_reply(line, 4, control.Pins()) is None


@pytest.mark.parametrize(
    ("line", "error", "request_id"),
    [
        (b"", "bad_json", 0),
        (b"[1]", "bad_json", 0),
        (b"\xff\xfe", "bad_json", 0),
        (b'{"id":1', "bad_json", 0),
        (b"[" * 5_000, "bad_json", 0),
        (b'{"id":' + b"9" * 5_000 + b"}", "bad_json", 0),
        (b'{"id":"x","op":"info"}', "bad_request", 0),
        (b'{"id":1}', "unknown_op", 1),
        (b'{"id":1,"op":"explode"}', "unknown_op", 1),
        (b'{"id":1,"op":"info","x":1}', "bad_request", 1),
        (b'{"id":1,"op":"edges","since":-1}', "bad_request", 1),
        (b'{"id":1,"op":"set_input","pin":4}', "bad_request", 1),
        (b'{"id":1,"op":"set_input","pin":400,"level":1}', "bad_request", 1),
        (b'{"id":1,"op":"set_adc","pin":1,"volts":NaN}', "bad_request", 1),
        (b'{"id":1,"op":"power","action":"off"}', "bad_request", 1),
        (b'{"id":-1,"op":"info"}', "bad_request", 0),
        (b'{"id":1,"op":"link_task","task":"t","input":"","timeout_s":-1}', "bad_request", 1),
    ],
)
def test_line_that_is_no_request_is_refused_with_a_reply(line: bytes, error: str, request_id: int) -> None:
    with pytest.raises(control.RequestRefused) as caught:
        control.decode_request(line)
    assert (caught.value.failure.error, caught.value.failure.id) == (error, request_id)
    reply = json.loads(control.encode_failure(caught.value.failure))
    assert reply["ok"] is False


def test_line_over_the_limit_is_refused() -> None:
    with pytest.raises(ProtocolError):
        control.read_reply(b" " * (control.MAX_LINE_BYTES + 1), 1, control.Pins())


def test_full_edge_page_fits_one_line() -> None:
    row = replies.EdgeRow(86_399_999.999, 48, 1)
    page = replies.EdgePage((row,) * control.MAX_EDGES_A_PAGE, 2**40, 2**40, 86_399_999.999, True)
    assert len(control.encode_reply(2**52, page)) <= control.MAX_LINE_BYTES
