"""The control socket of a live board: every op, pushed streams, garbage, limits, and the page's own examples."""

from __future__ import annotations

import json
import random
import re
import socket
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

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
from microclaw.wire.wasmachine.attributes import Generation

PAGE = Path(__file__).parents[3] / "docs" / "protocols" / "virtual.md"
EXAMPLE = re.compile(r"^    > (?P<request>\{.*\})\n    < (?P<reply>\{.*\})$", re.MULTILINE)


@pytest.fixture
def board(start_board: StartBoard) -> BoardUnderTest:
    return start_board("--clock", "virtual", "--serial", "0")


@pytest.fixture
def wired(start_board: StartBoard) -> BoardUnderTest:
    return start_board("--clock", "virtual", "--serial", "0", "--firmware", "nodes=+uart,+spi")


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


def test_info_says_what_the_ready_line_said(board: BoardUnderTest) -> None:
    info = board.control().ask(control.Info())
    assert (info.name, info.board, info.pid) == ("virtual-1", "virtual", board.process.pid)
    assert (info.mode, info.clock, info.generation) == ("stock", "virtual", "new")
    assert (info.wasmachine, info.serial, info.pty) == (board.ready["wasmachine"], board.ready["serial"], None)
    assert info.powered
    assert info.boot == 1


def test_edges_come_from_the_cursor_on(board: BoardUnderTest) -> None:
    bench = board.control()
    set_gpio(board, (4, 1), (4, 0))
    first = bench.ask(control.Edges())
    assert [(e.pin, e.level) for e in first.edges] == [(4, 1), (4, 0)]
    set_gpio(board, (2, 1))
    second = bench.ask(control.Edges(since=first.next))
    assert [(e.pin, e.level) for e in second.edges] == [(2, 1)]
    assert (second.dropped, second.more) == (0, False)


def test_many_edges_come_in_pages(board: BoardUnderTest) -> None:
    bench = board.control()
    wanted = control.MAX_EDGES_A_PAGE + 10
    for n in range(wanted):
        bench.ask(control.SetInput(4, (n + 1) % 2))
    first = bench.ask(control.Edges())
    assert (len(first.edges), first.more) == (control.MAX_EDGES_A_PAGE, True)
    rest = bench.ask(control.Edges(since=first.next))
    assert (len(rest.edges), rest.more) == (10, False)


def test_pins_show_who_drives_them(board: BoardUnderTest) -> None:
    bench = board.control()
    set_gpio(board, (4, 1))
    bench.ask(control.SetInput(6, 1))
    pins = {p.pin: p for p in bench.ask(control.Pins()).pins}
    assert (pins[4].level, pins[4].role) == (1, "output")
    assert (pins[6].level, pins[6].role) == (1, "idle")
    assert 22 not in pins


def test_scheduled_input_happens_at_its_board_time(board: BoardUnderTest) -> None:
    bench = board.control()
    bench.ask(control.SetInput(6, 1, at_ms=250.0))
    bench.ask(control.SetInput(6, 0, at_ms=750.0))
    assert bench.ask(control.Edges()).edges == ()
    assert bench.ask(control.Advance(500.0)).now_ms == 500.0
    assert [tuple(e) for e in bench.ask(control.Edges()).edges] == [(250.0, 6, 1)]
    assert bench.ask(control.Advance(500.0)) == replies.AdvanceResult(1000.0, True, None)
    assert [tuple(e) for e in bench.ask(control.Edges(since=1)).edges] == [(750.0, 6, 0)]


@pytest.mark.parametrize("at_ms", [-1.0, 99.0, 1e300])
@pytest.mark.parametrize("given", [partial(control.SetInput, 6, 1), partial(control.SetAdc, 1, 0.5)])
def test_a_time_that_cannot_be_is_refused(board: BoardUnderTest, given: Callable[..., Any], at_ms: float) -> None:
    bench = board.control()
    bench.ask(control.Advance(100.0))
    with pytest.raises(CallRejected, match="at_ms"):
        bench.ask(given(at_ms=at_ms))
    bench.ask(given(at_ms=100.0))
    assert bench.ask(control.Advance(1.0)).now_ms == 101.0


def test_a_time_that_is_no_number_is_refused(board: BoardUnderTest) -> None:
    bench = board.control()
    for number in ("NaN", "Infinity", "1e400"):
        reply = bench.raw(b'{"id":7,"op":"set_input","pin":6,"level":1,"at_ms":%s}' % number.encode())
        assert reply["ok"] is False
    assert bench.ask(control.Info()).powered


def test_a_little_late_is_at_once_on_the_real_clock(start_board: StartBoard) -> None:
    bench = start_board("--serial", "none").control()
    now_ms = bench.ask(control.Info()).now_ms
    bench.ask(control.SetInput(6, 1, at_ms=max(0.0, now_ms - 1.0)))
    with pytest.raises(CallRejected, match="past"):
        bench.ask(control.SetInput(6, 1, at_ms=-1.0))


def test_inputs_that_wait_are_bounded(tmp_path: Path) -> None:
    board = Board(load_board("virtual"), VirtualClock(), storage_dir=tmp_path)
    programs = Programs(board, tmp_path / "py", None)
    machine = Machine(board, Runtime(board), generation=Generation.NEW, app_store=None, programs=programs)
    for number in range(MAX_SET_AHEAD):
        machine.perform(control.SetInput(6, number % 2, at_ms=10.0))
    with pytest.raises(Overloaded):
        machine.perform(control.SetInput(6, 1, at_ms=11.0))
    machine.perform(control.Advance(10.0))
    machine.perform(control.SetInput(6, 1, at_ms=11.0))
    machine.close()


def test_scheduled_refusal_is_logged_and_the_clock_goes_on(board: BoardUnderTest) -> None:
    bench = board.control()
    bench.ask(control.SetAdc(1, 99.0, at_ms=10.0))
    assert bench.ask(control.Advance(20.0)).now_ms == 20.0
    assert any(line.text.startswith("bench: ") for line in bench.ask(control.Log()).lines)


def test_adc_and_sensor_values_reach_the_firmware(board: BoardUnderTest) -> None:
    bench = board.control()
    bench.ask(control.SetAdc(1, 1.65))
    bench.ask(control.SetSensor("bme280", {"temperature_c": 31.5}))
    with board.serial() as line, line.makefile("rb") as lines:
        line.sendall(b'{"action":"read_adc","pin":1}\n{"action":"read_i2c","sensor":"bme280"}\n')
        replies: list[dict[str, Any]] = []
        while len(replies) < 2:
            reply = json.loads(lines.readline())
            replies += [reply] if {"value", "data"} & set(reply) else []
    assert replies[0]["voltage"] == 1.65
    assert replies[1]["data"]["temperature_c"] == pytest.approx(31.5, abs=0.01)


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


def test_advance_needs_the_virtual_clock(start_board: StartBoard) -> None:
    bench = start_board("--serial", "none").control()
    with pytest.raises(CallRejected, match="real"):
        bench.ask(control.Advance(5.0))


def test_watch_pushes_edges_and_log_as_they_happen(board: BoardUnderTest) -> None:
    watcher, bench = board.control(), board.control()
    watcher.ask(control.Watch(edges=True, log=True))
    bench.ask(control.SetInput(6, 1))
    pushed = control.decode_server_line(watcher.line())
    assert isinstance(pushed, replies.EdgePushed)
    assert (pushed.pin, pushed.level, pushed.seq) == (6, 1, 0)
    bench.ask(control.SetAdc(1, 99.0, at_ms=0.0))
    bench.ask(control.Advance(1.0))
    logged = control.decode_server_line(watcher.line())
    assert isinstance(logged, replies.LogPushed)
    assert logged.text.startswith("bench: ")
    watcher.ask(control.Watch())
    bench.ask(control.SetInput(6, 0))
    assert watcher.ask(control.Info()).powered


def test_slow_watcher_loses_the_oldest_and_is_told(board: BoardUnderTest) -> None:
    watcher, bench = board.control(), board.control()
    watcher.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    watcher.ask(control.Watch(edges=True))
    flips = 6_000
    for n in range(flips // 100):  # in batches: replies are read after their requests
        lines = [control.encode_request(i, control.SetInput(6, (n * 100 + i + 1) % 2)) for i in range(100)]
        bench.socket.sendall(b"".join(lines))
        for _ in lines:
            bench.line()
    seen, dropped, last = 0, 0, -1
    while last < flips - 1:
        message = control.decode_server_line(watcher.line())
        if isinstance(message, replies.StreamDropped):
            dropped += message.n
        elif isinstance(message, replies.EdgePushed):
            assert message.seq > last
            last = message.seq
            seen += 1
    assert dropped > 0
    assert seen + dropped == flips


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


def test_examples_of_the_page_are_true(wired: BoardUnderTest) -> None:
    bench = wired.control()
    for match in EXAMPLE.finditer(PAGE.read_text(encoding="utf-8")):
        wanted = json.loads(match["reply"])
        got = bench.raw(match["request"].encode())
        assert set(got) == set(wanted), match["request"]
        for name, value in wanted.items():
            if value != "...":
                assert got[name] == value, (match["request"], name)


def test_uart_bytes_go_as_hex(wired: BoardUnderTest) -> None:
    bench = wired.control()
    assert bench.ask(control.UartWrite("00" * 130)).taken == 128
    assert bench.ask(control.UartRead()) == replies.UartPage("", 0, 0)
    for wrong in ('"data":"0"', '"data":"zz"', '"data":"00","port":3', '"data":"00","port":-1'):
        assert bench.raw(b'{"id":90,"op":"uart_write",%s}' % wrong.encode())["ok"] is False


def test_spi_buses_are_those_of_the_chip(wired: BoardUnderTest) -> None:
    bench = wired.control()
    bench.ask(control.SpiConnect(2, loopback=True))
    bench.ask(control.SpiConnect(1, answers=("ff", "00")))
    assert bench.ask(control.SpiRead()).exchanges == ()
    for bus in (0, 3):
        with pytest.raises(CallRejected, match="no SPI bus"):
            bench.ask(control.SpiConnect(bus))


def test_wires_that_the_firmware_has_no_node_for_are_refused(board: BoardUnderTest) -> None:
    bench = board.control()
    for request in (control.UartRead(), control.UartWrite("00"), control.SpiRead(), control.SpiConnect(1)):
        with pytest.raises(CallRejected, match="has no /dev/"):
            bench.ask(request)
