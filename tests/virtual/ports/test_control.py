"""The control socket of a live board: every op, garbage, limits, and the page's own examples."""

from __future__ import annotations

import json
import random
import re
import stat
from functools import partial
from pathlib import Path

import pytest
from tests.virtual.conftest import BoardUnderTest, StartBoard

from microclaw.boards import load_board
from microclaw.errors import CallRejected, Overloaded
from microclaw.virtual.board import Board
from microclaw.virtual.machine import MAX_SET_AHEAD, Machine
from microclaw.virtual.ports.control import MAX_CONNECTIONS
from microclaw.virtual.py.programs import Programs
from microclaw.virtual.runtime.loader import Runtime
from microclaw.virtual.virtual_clock import VirtualClock
from microclaw.wire import board_control as control
from microclaw.wire import board_replies as replies

PAGE = Path(__file__).parents[3] / "docs" / "protocols" / "virtual.md"
EXAMPLE = re.compile(r"^    > (?P<request>\{.*\})\n    < (?P<reply>\{.*\})$", re.MULTILINE)


@pytest.fixture
def board(start_board: StartBoard) -> BoardUnderTest:
    return start_board("--clock", "virtual", "--serial", "0")


def set_gpio(board: BoardUnderTest, *settings: tuple[int, int]) -> None:
    """Drive pins over the serial line, and wait for the answers."""
    with board.serial() as line, line.makefile("rb") as lines:
        for pin, level in settings:
            line.sendall(json.dumps({"action": "set_gpio", "pin": pin, "state": level}).encode() + b"\n")
            while json.loads(lines.readline()).get("msg") != "GPIO set":
                pass


def test_socket_is_private(board: BoardUnderTest) -> None:
    path = Path(board.ready["control"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_many_edges_come_in_pages(board: BoardUnderTest) -> None:
    bench = board.control()
    wanted = control.MAX_EDGES_A_PAGE + 10
    for n in range(wanted):
        bench.ask(control.SetInput(4, (n + 1) % 2))
    first = bench.ask(control.Edges())
    assert (len(first.edges), first.more) == (control.MAX_EDGES_A_PAGE, True)
    rest = bench.ask(control.Edges(since=first.next))
    assert (len(rest.edges), rest.more) == (10, False)


def test_scheduled_input_happens_at_its_board_time(board: BoardUnderTest) -> None:
    bench = board.control()
    bench.ask(control.SetInput(6, 1, at_ms=250.0))
    bench.ask(control.SetInput(6, 0, at_ms=750.0))
    assert bench.ask(control.Edges()).edges == ()
    assert bench.ask(control.Advance(500.0)).now_ms == 500.0
    assert [tuple(e) for e in bench.ask(control.Edges()).edges] == [(250.0, 6, 1)]
    assert bench.ask(control.Advance(500.0)) == replies.AdvanceResult(1000.0, True, None)
    assert [tuple(e) for e in bench.ask(control.Edges(since=1)).edges] == [(750.0, 6, 0)]


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


def test_inputs_that_wait_are_bounded(tmp_path: Path) -> None:
    board = Board(load_board("virtual"), VirtualClock(), storage_dir=tmp_path)
    programs = Programs(board, tmp_path / "py", None)
    machine = Machine(board, Runtime(board), programs=programs)
    for number in range(MAX_SET_AHEAD):
        machine.perform(control.SetInput(6, number % 2, at_ms=10.0))
    with pytest.raises(Overloaded):
        machine.perform(control.SetInput(6, 1, at_ms=11.0))
    machine.perform(control.Advance(10.0))
    machine.perform(control.SetInput(6, 1, at_ms=11.0))
    machine.close()


def test_what_cannot_be_is_refused_with_a_next_step(board: BoardUnderTest) -> None:
    bench = board.control()
    for request in (
        control.SetInput(22, 1),
        control.SetAdc(40, 1.0),
        control.SetAdc(1, 9.0),
        control.SetSensor("sht31", {"temperature_c": 1.0}),
        control.SetSensor("bme280", {"nonsense": 1.0}),
        control.Fault("explode"),
    ):
        with pytest.raises(CallRejected) as caught:
            bench.ask(request)
        assert caught.value.next_step
    assert bench.ask(control.Info()).powered


def test_power_cut_keeps_the_bench_and_a_new_boot_begins(board: BoardUnderTest) -> None:
    bench = board.control()
    before = bench.ask(control.Info())
    set_gpio(board, (4, 1))
    bench.ask(control.Advance(100.0))
    bench.ask(control.Power("cut"))
    dark = bench.ask(control.Info())
    assert not dark.powered
    assert {p.level for p in bench.ask(control.Pins()).pins} == {0}
    bench.ask(control.Power("on"))
    after = bench.ask(control.Info())
    assert (after.powered, after.boot, after.now_ms) == (True, before.boot + 1, 0.0)
    assert after.boot_id != before.boot_id


def test_garbage_gets_an_error_reply_and_the_connection_goes_on(board: BoardUnderTest) -> None:
    bench = board.control()
    for line in (b"\xff\x00garbage", b"{", b"[]", b'{"id":7,"op":"nope"}', b"x" * 70_000):
        reply = bench.raw(line)
        assert reply["ok"] is False
        assert reply["next"]
    assert bench.ask(control.Info()).powered


def test_random_bytes_do_not_end_the_board(board: BoardUnderTest) -> None:
    rng = random.Random(2)
    for _ in range(60):
        noise = board.control()
        noise.socket.sendall(rng.randbytes(rng.randrange(1, 20_000)) + rng.choice([b"\n", b""]))
        noise.close()
    assert board.control().ask(control.Info()).powered


def test_connections_are_bounded(board: BoardUnderTest) -> None:
    open_ones = [board.control() for _ in range(MAX_CONNECTIONS)]
    for connection in open_ones:
        connection.ask(control.Info())
    reply = json.loads(board.control().line())
    assert reply["error"] == "too_many_connections"


def test_every_op_has_an_example_on_the_page() -> None:
    ops = {json.loads(m["request"])["op"] for m in EXAMPLE.finditer(PAGE.read_text(encoding="utf-8"))}
    assert ops == set(control.OPS)


def test_examples_of_the_page_are_true(board: BoardUnderTest) -> None:
    bench = board.control()
    for match in EXAMPLE.finditer(PAGE.read_text(encoding="utf-8")):
        wanted = json.loads(match["reply"])
        got = bench.raw(match["request"].encode())
        assert set(got) == set(wanted), match["request"]
        for name, value in wanted.items():
            if value != "...":
                assert got[name] == value, (match["request"], name)
