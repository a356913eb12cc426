"""Pins, histories, console, sensors and power of the virtual board, without any app."""

from __future__ import annotations

import threading

import pytest

from microclaw.boards import load_board
from microclaw.errors import CallRejected, UnknownName
from microclaw.virtual.board import EDGE_RING, LOG_RING_BYTES, Board, PowerEvent
from microclaw.virtual.virtual_clock import VirtualClock
from microclaw.wire.board_replies import EdgeRow

TIMEOUT_S = 60.0


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def board(clock: VirtualClock) -> Board:
    return Board(load_board("virtual"), clock)


def levels(board: Board, pin: int) -> list[int]:
    return [edge.level for edge in board.edges().records if edge.pin == pin]


def test_an_edge_is_a_change_of_level_and_nothing_else(board: Board, clock: VirtualClock) -> None:
    board.set_output(2, 1)
    board.set_output(2, 1)
    clock.advance(5)
    board.set_output(2, 0)
    assert board.edges().records == (EdgeRow(0, 2, 1), EdgeRow(5, 2, 0))


def test_output_beats_the_outside_and_the_outside_beats_the_pull(board: Board) -> None:
    board.configure_pin(4, reads=True, drives=False, pull=1)
    assert board.level(4) == 1
    board.set_input(4, 0)
    assert board.level(4) == 0
    board.set_output(4, 1)
    assert board.level(4) == 1
    board.configure_pin(4, reads=True, drives=False)
    board.set_input(4, None)
    assert board.level(4) == 0


def test_input_that_is_switched_off_reads_0(board: Board) -> None:
    board.set_input(4, 1)
    assert (board.level(4), board.read_pin(4)) == (1, 0)
    board.configure_pin(4, reads=True, drives=False)
    assert board.read_pin(4) == 1


def test_pwm_changes_are_listed_apart_from_edges(board: Board) -> None:
    board.set_pwm(5, 128, 5000)
    board.set_pwm(5, 128, 5000)
    board.set_pwm(5, 0, 5000)
    assert [(c.duty, c.frequency_hz) for c in board.pwm_changes().records] == [(128, 5000), (0, 5000)]
    assert levels(board, 5) == []
    board.set_output(5, 1)
    assert levels(board, 5) == [1]


def test_a_full_history_drops_the_oldest_and_counts_them(board: Board) -> None:
    for n in range(EDGE_RING + 10):
        board.set_output(2, (n + 1) % 2)
    page = board.edges(4)
    assert (len(page.records), page.next, page.dropped) == (EDGE_RING, EDGE_RING + 10, 6)


def test_a_program_that_floods_the_log_leaves_the_others_their_lines(board: Board) -> None:
    board.print(b"kept\n", "quiet")
    for n in range(LOG_RING_BYTES // 100):
        board.print(b"%d %s\n" % (n, b"x" * 200), "flood")
    page = board.log()
    assert [record.text for record in page.records if record.app == "quiet"] == ["kept"]
    assert page.dropped > 0
    assert board.log(page.next - 1).records[0].text.startswith(f"{n} ")


def test_endless_line_is_cut_and_the_log_stays_bounded(board: Board) -> None:
    for _ in range(600):
        board.print(b"x" * 1000, "app")
    page = board.log()
    assert page.dropped > 0
    assert sum(len(r.text) for r in page.records) <= LOG_RING_BYTES
    assert max(len(r.text) for r in page.records) == 1024


def test_power_cut_floats_pins_and_power_on_is_a_new_boot(board: Board, clock: VirtualClock) -> None:
    seen: list[str] = []
    board.on_power(seen.append)
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


def test_sensor_values_are_checked_before_any_is_taken(board: Board) -> None:
    board.set_sensor("bme280", {"temperature_c": 30.5})
    assert board.sensor_values("bme280") == {"temperature_c": 30.5, "humidity_pct": 45.0, "pressure_hpa": 1013.25}
    for values in ({"temperature_c": 25.0, "humidity_pct": 101.0}, {"colour": 1.0}):
        with pytest.raises(CallRejected):
            board.set_sensor("bme280", values)
    assert board.sensor_values("bme280")["temperature_c"] == 30.5
    with pytest.raises(UnknownName):
        board.sensor_values("dht22")


@pytest.mark.parametrize("temperature_c", [-40.0, -0.01, 0.0, 22.5, 85.0])
def test_bme280_raw_values_exist_for_the_whole_range(board: Board, temperature_c: float) -> None:
    for humidity, pressure in ((0.0, 300.0), (100.0, 1100.0)):
        values = {"temperature_c": temperature_c, "humidity_pct": humidity, "pressure_hpa": pressure}
        board.set_sensor("bme280", values)
        board.i2c_write(0x76, b"\xf2\x01\xf4\x27")
        board.i2c_write(0x76, b"\xf7")
        data = board.i2c_read(0x76, 8)
        assert data is not None
        assert len(data) == 8
        raw_pressure, raw_temperature = int.from_bytes(data[:3], "big") >> 4, int.from_bytes(data[3:6], "big") >> 4
        assert 0 < raw_temperature < 0xFFFFF
        assert 0 < raw_pressure < 0xFFFFF


def test_crash_in_a_boot_that_is_over_changes_nothing(board: Board) -> None:
    board.crash("panic", boot=1)
    lines = [record.text for record in board.log().records]
    board.crash("panic of an app of the first boot", boot=1)
    assert board.boot == 2
    assert [record.text for record in board.log().records] == lines == ["panic", "Rebooting..."]


def test_power_is_switched_by_one_at_a_time(board: Board) -> None:
    seen: list[str] = []
    entered, go_on = threading.Event(), threading.Event()

    def listener(event: PowerEvent) -> None:
        seen.append(f"{event} {threading.current_thread().name}")
        entered.set()
        assert go_on.wait(TIMEOUT_S)

    board.on_power(listener)
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
