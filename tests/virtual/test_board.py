"""Pins, histories, console, sensors and power of the virtual board, without any app."""

from __future__ import annotations

import threading

import pytest
from tests.virtual.conftest import Bench

from microclaw.hardware.boards import load_board
from microclaw.virtual.board import EDGE_RING, LOG_RING_BYTES, Board, PowerEvent
from microclaw.virtual.virtual_clock import VirtualClock
from microclaw.wire import board_control as control
from microclaw.wire.board_replies import BoardInfo

TIMEOUT_S = 60.0


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def board(clock: VirtualClock) -> Board:
    return Board(load_board("virtual"), clock)


def levels(board: Board, pin: int) -> list[int]:
    return [edge.level for edge in board.edges().records if edge.pin == pin]


def test_output_beats_the_outside_and_the_outside_beats_the_pull(board: Board) -> None:
    board.set_input(4, 1)
    assert board.read_pin(4) == 0, "an input that is switched off reads 0"
    board.configure_pin(4, reads=True, drives=False, pull=1)
    board.set_input(4, 0)
    assert board.level(4) == 0
    board.set_output(4, 1)
    assert board.level(4) == 1
    board.configure_pin(4, reads=True, drives=False, pull=1)
    board.set_input(4, None)
    assert board.read_pin(4) == 1


def test_a_program_that_floods_the_log_leaves_the_others_their_lines(board: Board) -> None:
    board.print(b"kept\n", "quiet")
    for n in range(LOG_RING_BYTES // 100):
        board.print(b"%d %s\n" % (n, b"x" * 200), "flood")
    page = board.log()
    assert [record.text for record in page.records if record.app == "quiet"] == ["kept"]
    assert page.dropped > 0
    assert board.log(page.next - 1).records[0].text.startswith(f"{n} ")


def test_histories_are_bounded_and_count_what_they_dropped(board: Board) -> None:
    for n in range(EDGE_RING + 10):
        board.set_output(2, (n + 1) % 2)
    edges = board.edges(4)
    assert (len(edges.records), edges.next, edges.dropped) == (EDGE_RING, EDGE_RING + 10, 6)
    for _ in range(600):
        board.print(b"x" * 1000, "app")
    lines = board.log()
    assert lines.dropped > 0
    assert sum(len(r.text) for r in lines.records) <= LOG_RING_BYTES
    assert max(len(r.text) for r in lines.records) == 1024


def test_power_cut_floats_pins_and_power_on_is_a_new_boot(board: Board, clock: VirtualClock) -> None:
    seen: list[str] = []
    board.on_power = seen.append
    board.set_output(2, 1)
    board.set_input(4, 1)
    board.set_pwm(5, 200, 1000)
    clock.advance(100)
    first = board.boot_id
    board.power_cut()
    board.power_cut()
    assert not board.powered
    assert {p.pin for p in board.pins() if p.role != "idle"} == set()
    assert levels(board, 2) == [1, 0]
    assert board.level(4) == 1
    assert board.pwm_changes().records[-1].duty == 0
    board.power_on()
    assert (board.boot, board.powered, clock.now_ms()) == (2, True, 0)
    assert board.boot_id != first
    assert seen == ["cut", "on"]


def test_crash_in_a_boot_that_is_over_changes_nothing(board: Board) -> None:
    board.crash("panic", boot=1)
    lines = [record.text for record in board.log().records]
    board.crash("panic of an app of the first boot", boot=1)
    assert board.boot == 2
    assert [record.text for record in board.log().records] == lines == ["panic", "Rebooting..."]


def test_power_is_switched_by_one_at_a_time(board: Board) -> None:
    seen: list[str] = []
    entered = threading.Event()
    go_on = threading.Event()

    def listener(event: PowerEvent) -> None:
        seen.append(f"{event} {threading.current_thread().name}")
        entered.set()
        assert go_on.wait(TIMEOUT_S)

    board.on_power = listener
    first = threading.Thread(target=board.reset, name="first")
    second = threading.Thread(target=board.reset, name="second")
    first.start()
    assert entered.wait(TIMEOUT_S)
    second.start()
    go_on.set()
    for thread in (first, second):
        thread.join(TIMEOUT_S)
        assert not thread.is_alive()
    assert seen == ["cut first", "on first", "cut second", "on second"]
    assert board.boot == 3


def test_info_waits_for_the_boot_while_the_board_starts_again(bench: Bench) -> None:
    """Who asks after something failed in a restart is told of the new boot, and not that the power is off."""
    board = bench.board
    infos: list[object] = []
    askers: list[threading.Thread] = []
    boot_ids: list[str] = []
    switch_power = board.on_power

    def listener(event: PowerEvent) -> None:
        if event == "cut":
            began = threading.Event()

            def ask() -> None:
                began.set()
                infos.append(bench.machine.perform(control.Info()))

            askers.append(threading.Thread(target=ask))
            askers[-1].start()
            assert began.wait(TIMEOUT_S)
        switch_power(event)

    board.on_power = listener
    for _ in range(20):
        board.reset()
        boot_ids.append(board.boot_id)
        askers[-1].join(TIMEOUT_S)
    assert [(info.powered, info.boot_id) for info in infos if isinstance(info, BoardInfo)] == [
        (True, boot_id) for boot_id in boot_ids
    ]
