"""The control socket of a live board: every op, garbage, limits, and the page's own examples."""

from __future__ import annotations

import json
import re
import stat
from functools import partial
from pathlib import Path

import pytest
from tests.virtual.conftest import Bench, BoardUnderTest, StartBoard

from microclaw.errors import CallRejected, Overloaded
from microclaw.virtual.machine import MAX_SET_AHEAD
from microclaw.virtual.ports.control import MAX_CONNECTIONS
from microclaw.wire import board_control as control

PAGE = Path(__file__).parents[3] / "docs" / "protocols" / "virtual.md"
EXAMPLE = re.compile(r"^    > (?P<request>\{.*\})\n    < (?P<reply>\{.*\})$", re.MULTILINE)


@pytest.fixture
def board(start_board: StartBoard) -> BoardUnderTest:
    return start_board("--clock", "virtual", "--serial", "0")


def test_a_time_that_cannot_be_is_refused(board: BoardUnderTest) -> None:
    bench = board.control()
    bench.ask(control.Advance(100.0))
    for given in (partial(control.SetInput, 6, 1), partial(control.SetAdc, 1, 0.5)):
        for at_ms in (-1.0, 99.0, 1e300):
            with pytest.raises(CallRejected):
                bench.ask(given(at_ms=at_ms))
    for number in ("NaN", "Infinity", "1e400"):
        line = b'{"id":7,"op":"set_input","pin":6,"level":1,"at_ms":%s}' % number.encode()
        assert bench.raw(line)["ok"] is False
    bench.ask(control.SetInput(6, 1, at_ms=100.0))
    assert bench.ask(control.Advance(1.0)).now_ms == 101.0


def test_inputs_that_wait_are_bounded(bench: Bench) -> None:
    machine = bench.machine
    for number in range(MAX_SET_AHEAD):
        machine.perform(control.SetInput(6, number % 2, at_ms=10.0))
    with pytest.raises(Overloaded):
        machine.perform(control.SetInput(6, 1, at_ms=11.0))
    machine.perform(control.Advance(10.0))
    machine.perform(control.SetInput(6, 1, at_ms=11.0))


def test_garbage_and_what_cannot_be_is_refused_and_the_board_goes_on(board: BoardUnderTest) -> None:
    path = Path(board.ready["control"])
    assert [stat.S_IMODE(place.stat().st_mode) for place in (path, path.parent)] == [0o600, 0o700]
    bench = board.control()
    for line in (b"\xff\x00garbage", b"{", b"[]", b'{"id":7,"op":"nope"}', b"x" * 70_000):
        reply = bench.raw(line)
        assert (reply["ok"], bool(reply["next"])) == (False, True)
    for request in (
        control.SetInput(22, 1),
        control.SetAdc(40, 1.0),
        control.SetAdc(1, 9.0),
        control.SetSensor("sht31", {"temperature_c": 1.0}),
        control.SetSensor("bme280", {"temperature_c": 1.0, "humidity_pct": 101.0}),
        control.Fault("explode"),
    ):
        with pytest.raises(CallRejected) as caught:
            bench.ask(request)
        assert caught.value.next_step
    others = [board.control() for _ in range(MAX_CONNECTIONS - 1)]
    for connection in others:
        assert connection.ask(control.Info()).powered
    assert json.loads(board.control().line())["error"] == "too_many_connections"


def test_every_op_has_an_example_on_the_page_and_each_is_true(board: BoardUnderTest) -> None:
    bench = board.control()
    ops = set()
    for match in EXAMPLE.finditer(PAGE.read_text(encoding="utf-8")):
        wanted = json.loads(match["reply"])
        got = bench.raw(match["request"].encode())
        ops.add(json.loads(match["request"])["op"])
        assert set(got) == set(wanted), match["request"]
        for name, value in wanted.items():
            if value != "...":
                assert got[name] == value, (match["request"], name)
    assert ops == set(control.OPS)
