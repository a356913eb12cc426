"""Parts on a virtual board: they answer where they are wired, take its edges, move its pins, and fail alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import microclaw
import microclaw.hardware.parts as hardware_parts
from microclaw.errors import CallRejected, ConfigError, UnknownName
from microclaw.hardware.boards import load_board
from microclaw.hardware.parts import reader
from microclaw.hardware.parts.models import OneWireDevice, PinDevice, SpiBus, SpiDevice
from microclaw.hardware.parts.reader import parts
from microclaw.hardware.parts.wiring import WiredPart, Wiring, make_part, parse_wiring, read_wiring, wiring_tables
from microclaw.hardware.parts.wiring_check import check_wiring
from microclaw.virtual import bench
from microclaw.virtual.bench import load_model
from microclaw.virtual.board import Board
from microclaw.virtual.part_bus import PartBus, own_bus
from microclaw.virtual.virtual_clock import VirtualClock

PROFILE = load_board("virtual")
MODEL_IMPORT = re.compile(r"(from|import) microclaw\.hardware\.parts\.\w+(\.| import )model\b")
WIRING = """
[btn1]
part = "button"
pin = 6

[sonar]
part = "hcsr04"
trig = 4
echo = 5

[dht1]
part = "dht22"
data = 15

[probe1]
part = "ds18b20"
data = 17

[probe2]
part = "ds18b20"
data = 17

[bme1]
part = "bme280"
address = 0x77
"""


def wired_board(clock: VirtualClock) -> Board:
    board = Board(PROFILE, clock)
    board.parts.wire(parse_wiring(WIRING))
    return board


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def board(clock: VirtualClock) -> Board:
    return wired_board(clock)


def board_with(clock: VirtualClock, part: WiredPart) -> Board:
    board = Board(PROFILE, clock)
    board.parts.wire(Wiring((part,)))
    return board


def restart(board: Board, *, is_power_cut: bool) -> None:
    if is_power_cut:
        board.power_cut()
        board.power_on()
    else:
        board.reset()


def shown(board: Board, name: str) -> float:
    """Return what the board's part shows now."""
    return [row.value for row in board.parts.shown().records if row.name == name][-1]


def edges(board: Board, pin: int) -> list[tuple[float, int]]:
    return [(round(edge.t_ms, 3), edge.level) for edge in board.edges().records if edge.pin == pin]


def trigger(board: Board, clock: VirtualClock) -> None:
    board.set_output(4, 1)
    clock.compute(0.01)
    board.write_pin(4, 0)


def test_every_part_with_a_model_has_one_class_for_it() -> None:
    reacting = {name for name in parts() if load_model(name) is not None}
    assert {"button", "hcsr04", "bme280", "dht22"} <= reacting


def test_a_button_bounces_and_lets_go_of_its_pin_when_it_is_released(board: Board, clock: VirtualClock) -> None:
    board.configure_pin(6, reads=True, drives=False, pull=1)
    board.parts.set_values("btn1", {"pressed": 1})
    clock.advance(100)
    board.parts.set_values("btn1", {"pressed": 0})
    clock.advance(100)
    moves = edges(board, 6)[1:]
    # The first press falls twice; its release is clean.
    assert [(round(t_ms, 2), level) for t_ms, level in moves] == [(0.0, 0), (1.02, 1), (2.04, 0), (100.0, 1)]
    board.configure_pin(6, reads=True, drives=False, pull=0)
    assert board.read_pin(6) == 0, "without a pull-up the released button leaves the pin floating"


def test_a_press_that_ends_within_its_bounce_leaves_the_button_released(board: Board, clock: VirtualClock) -> None:
    board.configure_pin(6, reads=True, drives=False, pull=1)
    board.parts.set_values("btn1", {"pressed": 1})
    clock.advance(1)
    board.parts.set_values("btn1", {"pressed": 0})
    clock.advance(10)
    assert board.read_pin(6) == 1


@pytest.mark.parametrize(("distance_cm", "echo_us"), [(10, 583), (100, 5831), (300, 17493), (401, 38000), (1, 38000)])
def test_the_echo_lasts_as_long_as_the_sound_needs(
    board: Board, clock: VirtualClock, distance_cm: float, echo_us: int
) -> None:
    board.parts.set_values("sonar", {"distance": distance_cm})
    trigger(board, clock)
    clock.advance(1)
    trigger(board, clock)
    clock.advance(100)
    (begin_ms, _), (end_ms, _) = edges(board, 5)
    assert begin_ms == 0.46
    assert round((end_ms - begin_ms) * 1000) == echo_us


def test_a_dht_read_early_has_old_values_and_read_at_once_again_none(board: Board, clock: VirtualClock) -> None:
    first = board.parts.message(15)
    board.parts.set_values("dht1", {"temperature": 31})
    clock.advance(1000)
    assert board.parts.message(15) == first
    clock.advance(400)
    assert board.parts.message(15) == b""
    clock.advance(600)
    assert board.parts.message(15) not in (first, b"")
    texts = [row.text for row in board.log().records]
    assert [text.partition(";")[0] for text in texts] == [
        "note on a part: dht1 (dht22): it needs 2 s between two readings"
    ] * 2


def steps_of(board: Board, clock: VirtualClock, periods_ms: list[float]) -> dict[str, float]:
    """Give the motor a step after each of these times; return what it shows then."""
    for period_ms in periods_ms:
        clock.advance(period_ms)
        board.write_pin(4, 1)
        board.write_pin(4, 0)
    return {row.name: row.value for row in board.parts.shown().records}


def test_a_motor_with_a_ramp_becomes_faster_than_it_starts(clock: VirtualClock) -> None:
    board = Board(PROFILE, clock)
    board.parts.wire(parse_wiring('motor1 = { part = "a4988", step = 4, dir = 5, sleep = 6 }'))
    for pin in (4, 5, 6):
        board.set_output(pin, 0)
    board.write_pin(6, 1)
    assert steps_of(board, clock, [0.5, 1.5])["lost"] == 1, "it still wakes up"
    board.write_pin(5, 1)
    ramp = [1000 / (500 + 100 * number) for number in range(21)]
    shown = steps_of(board, clock, [100, *ramp])
    assert (shown["steps"], shown["lost"]) == (21, 1)
    board.write_pin(5, 0)
    shown = steps_of(board, clock, [0.4] * 5)
    assert (shown["steps"], shown["lost"]) == (21, 6), "it cannot turn round at that rate"


def test_a_knob_that_is_turned_on_while_its_last_quarter_lasts_keeps_its_pace(clock: VirtualClock) -> None:
    board = Board(PROFILE, clock)
    pins = {"clk": 4, "dt": 5}
    knob = make_part("knob", "rotary_encoder", pins=pins, attributes={"bounce_ms": 0})
    board.parts.wire(Wiring((knob,)))
    board.parts.set_values("knob", {"turn": 1})
    clock.advance(35)
    board.parts.set_values("knob", {"turn": 3})
    clock.advance(1000)
    moments = [round(edge.t_ms) for edge in board.edges().records if edge.pin in pins.values() and edge.t_ms > 0]
    assert moments == list(range(10, 160, 10))


def test_a_part_answers_on_its_own_pin_alone(board: Board) -> None:
    board.parts.set_values("dht1", {"temperature": -1.5})
    message = board.parts.message(15)
    assert message is not None
    assert message.hex() == "01c2800f52"
    assert board.parts.message(4) is None
    assert board.parts.message(17) is None
    assert board.parts.messages(15) == {}
    assert len(board.parts.messages(17)) == 2
    assert all(rom[0] == 0x28 for rom in board.parts.messages(17))


def test_a_sensor_answers_at_its_address(board: Board) -> None:
    assert own_bus(board).addresses() == [0x77]
    assert own_bus(board).write(0x77, b"\xd0")
    assert own_bus(board).read(0x77, 1) == b"\x60"
    assert not own_bus(board).write(0x76, b"\xd0")
    assert board.parts.readings("bme280") == board.parts.readings("bme1")


def test_a_part_answers_only_on_the_bus_that_it_is_wired_to(board: Board) -> None:
    board.parts.wire(Wiring((make_part("bme1", "bme280", pins={"sda": 4, "scl": 5}),)))
    assert own_bus(board).addresses() == []
    assert PartBus(board, (4, 5)).addresses() == [0x76]


def test_a_value_has_two_names_and_a_wrong_one_changes_nothing(board: Board) -> None:
    board.parts.set_values("bme1", {"temperature_c": 31})
    with pytest.raises(CallRejected):
        board.parts.set_values("bme1", {"temperature": 20, "humidity": 101})
    with pytest.raises(UnknownName) as caught:
        board.parts.set_values("btn2", {"pressed": 1})
    assert "btn1" in str(caught.value.next_step)
    assert board.parts.readings("bme1")["temperature_c"] == 31


def test_another_wiring_takes_the_place_of_the_first_with_its_alarms_and_levels(
    board: Board, clock: VirtualClock
) -> None:
    trigger(board, clock)
    board.parts.wire(Wiring())
    clock.advance(100)
    assert edges(board, 5) == []
    assert own_bus(board).addresses() == []


def test_what_was_set_of_a_part_stays_when_another_part_is_wired_or_it_is_wired_otherwise(
    board: Board, clock: VirtualClock
) -> None:
    board.parts.set_values("bme1", {"temperature": 31})
    board.parts.set_values("dht1", {"humidity": 80})
    board.parts.set_values("btn1", {"pressed": 1})
    clock.advance(100)
    trigger(board, clock)
    sensor = board.parts.model("bme1")
    moved = WIRING.replace("data = 15", "data = 16\ntemperature = 5")
    labelled = moved.replace("address = 0x77", 'address = 0x77\nlabel = "kitchen"')
    board.parts.wire(parse_wiring(f'{labelled}\n[led1]\npart = "led"\npin = 42'))
    assert board.parts.model("bme1") is sensor
    assert board.parts.wiring().called("kitchen") is not None
    states = {part_id: state.values for part_id, state in board.parts.states().items()}
    assert states["bme1"]["temperature"] == 31
    assert states["dht1"] == {"temperature": 5, "humidity": 80}
    assert states["btn1"]["pressed"] == 1
    clock.advance(100)
    assert [level for _, level in edges(board, 5)] == [1, 0]


def test_a_part_that_is_removed_takes_no_edges_from_the_one_that_shares_its_pins(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "load_model", lambda _: ShiftedIn)
    first = WiredPart("display1", "st7789", {"sck": 12, "mosi": 11, "cs": 10})
    second = WiredPart("display2", "st7789", {"sck": 12, "mosi": 11, "cs": 9})
    board.parts.wire(Wiring((first, second)))
    board.parts.wire(Wiring((second,)))
    for pin in (9, 11, 12):
        board.configure_pin(pin, reads=False, drives=True)
    for bit in (1, 0, 1, 0, 0, 0, 1, 1):
        board.write_pin(11, bit)
        board.write_pin(12, 1)
        board.write_pin(12, 0)
    device = board.parts.model("display2")
    assert isinstance(device, ShiftedIn)
    assert device.taken == b"\xa3"


def test_a_power_cut_ends_a_measurement(board: Board, clock: VirtualClock) -> None:
    trigger(board, clock)
    clock.advance(1)
    assert board.level(5) == 1
    board.power_cut()
    board.power_on()
    assert board.level(5) == 0
    clock.advance(100)
    trigger(board, clock)
    clock.advance(1)
    assert board.level(5) == 1


def test_a_reset_of_the_board_does_not_end_a_measurement(board: Board, clock: VirtualClock) -> None:
    board.parts.set_values("sonar", {"distance": 100})
    trigger(board, clock)
    clock.advance(1)
    board.reset()
    assert board.level(5) == 1
    clock.advance(5.3)
    assert board.level(5) == 0


@pytest.mark.parametrize("is_power_cut", [True, False])
def test_scales_are_ready_after_a_restart(is_power_cut: bool, clock: VirtualClock) -> None:
    board = board_with(clock, make_part("scales", "hx711", pins={"dt": 4, "sck": 5}))
    clock.advance(100)
    restart(board, is_power_cut=is_power_cut)
    clock.advance(299)
    assert board.level(4) == 1
    clock.advance(2)
    assert board.level(4) == int(is_power_cut)
    clock.advance(100)
    assert board.level(4) == 0


@pytest.mark.parametrize("name", ["ds1307", "ds3231"])
@pytest.mark.parametrize("is_power_cut", [True, False])
def test_a_clock_with_a_battery_never_goes_back(name: str, is_power_cut: bool, clock: VirtualClock) -> None:
    board = board_with(clock, make_part("watch", name, pins={}))

    def seconds() -> int:
        own_bus(board).write(0x68, b"\0")
        data = own_bus(board).read(0x68, 3)
        assert data is not None
        seconds, minutes, hours = ((value >> 4) * 10 + (value & 15) for value in data)
        return hours * 3600 + minutes * 60 + seconds

    noon = seconds()
    clock.advance(100_000)
    restart(board, is_power_cut=is_power_cut)
    clock.advance(5_000)
    assert seconds() - noon == 105
    restart(board, is_power_cut=is_power_cut)
    assert seconds() - noon == 105


@pytest.mark.parametrize(("is_power_cut", "falls_s"), [(True, 5), (False, 4)])
def test_the_output_of_a_motion_sensor_falls_after_a_restart(
    is_power_cut: bool, falls_s: float, clock: VirtualClock
) -> None:
    sensor = make_part("pir1", "pir", pins={"out": 4}, attributes={"retrigger": 0, "blocked_s": 60})
    board = board_with(clock, sensor)
    board.parts.set_values("pir1", {"motion": 1})
    clock.advance(1_000)
    restart(board, is_power_cut=is_power_cut)
    clock.advance(falls_s * 1000 - 1)
    assert board.level(4) == 1
    clock.advance(2)
    assert board.level(4) == 0


STATES = [
    (make_part("motor", "a4988", pins={"step": 4, "dir": 5}), "steps", -1.0),
    (make_part("register", "hc595", pins={"ds": 4, "shcp": 5, "stcp": 6}), "outputs", 1.0),
    (make_part("more-pins", "pcf8574", pins={}), "p0", 0.0),
]


@pytest.mark.parametrize(("part", "name", "value"), STATES, ids=lambda value: getattr(value, "part", None))
@pytest.mark.parametrize("is_power_cut", [True, False])
def test_parts_keep_what_they_show_at_a_reset_and_lose_it_with_the_power(
    part: WiredPart, name: str, value: float, is_power_cut: bool, clock: VirtualClock
) -> None:
    board = board_with(clock, part)
    first = shown(board, name)
    for pin in ("ds", "step", "shcp", "stcp"):
        if pin in part.pins:
            board.set_output(part.pins[pin], 1)
    if part.address is not None:
        own_bus(board).write(part.address, b"\0")
    assert shown(board, name) == value
    restart(board, is_power_cut=is_power_cut)
    assert shown(board, name) == (first if is_power_cut else value)


@pytest.mark.parametrize(("is_power_cut", "power"), [(True, 0x40), (False, 0x00)])
def test_a_sensor_that_was_woken_sleeps_again_only_without_power(
    is_power_cut: bool, power: int, clock: VirtualClock
) -> None:
    board = board_with(clock, make_part("imu", "mpu6050", pins={}))
    own_bus(board).write(0x68, b"\x6b\x00")
    restart(board, is_power_cut=is_power_cut)
    own_bus(board).write(0x68, b"\x6b")
    assert own_bus(board).read(0x68, 1) == bytes([power])


def test_joined_pins_have_the_level_of_the_one_that_is_driven(board: Board) -> None:
    board.configure_pin(13, reads=True, drives=False, pull=1)
    board.configure_pin(14, reads=True, drives=False)
    board.join(13, 14)
    assert (board.level(13), board.level(14)) == (1, 0)
    board.set_output(14, 0)
    assert board.level(13) == 0
    board.write_pin(14, 1)
    assert board.level(13) == 1
    board.write_pin(14, 0)
    board.configure_pin(14, reads=True, drives=False)
    assert board.level(13) == 1, "nobody drives the other pin any more"
    board.set_output(13, 1)
    assert board.level(14) == 1, "the other way round"
    board.join(13, None)
    assert board.level(14) == 0
    assert edges(board, 14)[-1][1] == 0


class Faulty(PinDevice):
    """Raises when its pin rises."""

    def edge(self, role: str, level: int) -> None:
        if level:
            raise ZeroDivisionError(f"{role} of {self.wired.id}")


class Silent(OneWireDevice):
    def message(self) -> bytes:
        raise ValueError("nothing measured")


def test_a_model_that_raises_is_named_once_and_the_board_goes_on(
    clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = {"hcsr04": Faulty, "dht22": Silent}
    monkeypatch.setattr(bench, "load_model", models.get)
    board = wired_board(clock)
    for _ in range(2):
        board.set_output(4, 1)
        board.set_output(4, 0)
        assert board.parts.message(15) is None
    texts = [row.text for row in board.log().records]
    assert texts == [
        "a part of this board failed: sonar (hcsr04): ZeroDivisionError: trig of sonar",
        "a part of this board failed: dht1 (dht22): ValueError: nothing measured",
    ]
    assert len(edges(board, 4)) == 4


FACTS = """
title = "a part that never rests"
kind = "input"
source = "this test"

[[pins]]
role = "pin"
use = "input"
"""
RESTLESS = """
from microclaw.hardware.parts.models import PartModel

class Model(PartModel):
    def reset(self):
        self._again()

    def _again(self):
        self.bench.call_at(self.bench.now_ms() + STEP_MS, self._again)
"""


@pytest.mark.parametrize("step_ms", ["0", "1e-9", "-5"])
def test_a_part_whose_alarms_never_let_time_pass_is_named_and_the_board_goes_on(
    step_ms: str, clock: VirtualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"restless_{len(step_ms)}"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "part.toml").write_text(FACTS)
    (folder / "model.py").write_text(RESTLESS.replace("STEP_MS", step_ms))
    folders = (*reader.part_folders(), folder)
    monkeypatch.setattr(reader, "part_folders", lambda: folders)
    monkeypatch.setattr(bench, "part_folders", lambda: folders)
    monkeypatch.setattr(hardware_parts, "__path__", [*hardware_parts.__path__, str(tmp_path)])
    reader.parts.cache_clear()
    try:
        board = Board(PROFILE, clock)
        board.parts.wire(parse_wiring(f'[x1]\npart = "{name}"\npin = 4\n'))
        assert clock.advance(1000).now_ms == 1000
    finally:
        reader.parts.cache_clear()
    (row,) = board.log().records
    assert row.text.startswith(f"a part of this board failed: x1 ({name}): RuntimeError: more than 10,000 alarms")


@pytest.mark.parametrize(
    ("part", "pin"),
    [
        ('part = "button"\npin = 4', 4),
        ('part = "button"\npin = 4\nactive = "high"', 4),
        ('part = "door_contact"\npin = 4\nopen = 1', 4),
        ('part = "joystick"\nsel = 4', 4),
        ('part = "rotary_encoder"\nclk = 5\ndt = 6\nsw = 4', 4),
        ('part = "keypad"\nr1 = 4\nr2 = 5\nr3 = 6\nr4 = 7\nc1 = 15\nc2 = 16\nc3 = 17', 4),
        ('part = "keypad"\nr1 = 4\nr2 = 5\nr3 = 6\nr4 = 7\nc1 = 15\nc2 = 16\nc3 = 17', 16),
    ],
)
def test_an_open_contact_leaves_its_pin_floating_unless_a_resistor_pulls_it(
    part: str, pin: int, clock: VirtualClock
) -> None:
    board = Board(PROFILE, clock)
    board.parts.wire(parse_wiring(f"[x1]\n{part}\nresistor = 1"))
    board.configure_pin(pin, reads=True, drives=False)
    board.read_pin(pin)
    board.parts.wire(parse_wiring(f"[x1]\n{part}"))
    for pull in (0, 1):
        board.configure_pin(pin, reads=True, drives=False, pull=pull)
        assert board.read_pin(pin) == pull
    assert not board.log().records
    # A stimulus on the pin itself does not hide it.
    board.set_input(pin, 1)
    board.configure_pin(pin, reads=True, drives=False)
    for _ in range(2):
        board.read_pin(pin)
    (row,) = board.log().records
    assert re.fullmatch(rf"nothing holds the level of x1 \(\w+\) on pin {pin}", row.text)


@pytest.mark.parametrize(
    ("part", "pin"),
    [
        ('part = "slide_switch"\npin = 4', 4),
        ('part = "digital_input"\npin = 4', 4),
        ('part = "pir"\nout = 4', 4),
        ('part = "rotary_encoder"\nclk = 4\ndt = 5', 4),
        ('part = "hcsr04"\ntrig = 4\necho = 5', 5),
    ],
)
def test_a_part_that_drives_its_pin_needs_no_resistor(part: str, pin: int, clock: VirtualClock) -> None:
    board = Board(PROFILE, clock)
    board.parts.wire(parse_wiring(f"[x1]\n{part}"))
    board.configure_pin(pin, reads=True, drives=False)
    board.read_pin(pin)
    assert not board.log().records


def test_a_wiring_is_its_tables_and_the_board_has_what_is_soldered_on(clock: VirtualClock) -> None:
    wiring = parse_wiring(WIRING)
    assert read_wiring(wiring_tables(wiring)) == wiring
    board = Board(PROFILE, clock)
    assert {part.id: part.address for part in board.parts.wiring().parts} == {"bme280": 0x76, "ina219": 0x40}


@pytest.mark.parametrize("number", ["4.7", "inf", "nan", "1e400", "99", "-1", "true", "[4]"])
def test_a_pin_that_is_none_is_refused(number: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_wiring(parse_wiring(f'[dht1]\npart = "dht22"\ndata = {number}\n'), PROFILE)
    assert "dht1" in caught.value.message


def test_two_parts_share_a_pin_only_if_both_can() -> None:
    with pytest.raises(ConfigError):
        check_wiring(parse_wiring(WIRING.replace("data = 15", "data = 6")), PROFILE)
    check_wiring(parse_wiring(WIRING), PROFILE)


def test_no_other_room_imports_a_model() -> None:
    source = Path(microclaw.__file__).parent
    importers = []
    for file in source.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        if MODEL_IMPORT.search(text):
            importers.append(str(file.relative_to(source)))
    assert importers == []


class ShiftedIn(SpiDevice):
    """Keeps what it was sent, and sends each byte back inverted."""

    taken = b""
    selections = 0

    def transfer(self, data: bytes) -> bytes:
        self.taken += data
        return bytes(byte ^ 0xFF for byte in data)

    def deselected(self) -> None:
        self.selections += 1


def test_a_part_on_spi_takes_bytes_of_its_bus_while_it_is_selected(
    board: Board, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "load_model", lambda _: ShiftedIn)
    board.parts.wire(Wiring((WiredPart("display1", "st7789", {"sck": 12, "mosi": 11, "cs": 10}),)))
    device = board.parts.model("display1")
    assert isinstance(device, ShiftedIn)
    board.configure_pin(10, reads=False, drives=True)
    board.write_pin(10, 1)
    assert board.parts.spi_transfer(SpiBus(12, 11), b"\x0f") == b"\x00"
    board.write_pin(10, 0)
    assert board.parts.spi_transfer(SpiBus(12, 11), b"\x0f") == b"\xf0"
    assert board.parts.spi_transfer(SpiBus(12, 13), b"\x0f") == b"\x00"
    board.write_pin(10, 1)
    assert device.taken == b"\x0f"
    assert device.selections == 2


def test_a_part_on_spi_takes_bits_of_a_program_that_moves_its_pins(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "load_model", lambda _: ShiftedIn)
    board.parts.wire(Wiring((WiredPart("display1", "st7789", {"sck": 12, "mosi": 11}),)))
    for pin in (11, 12):
        board.configure_pin(pin, reads=False, drives=True)
    for bit in (1, 0, 1, 0, 0, 0, 1, 1):
        board.write_pin(11, bit)
        board.write_pin(12, 1)
        board.write_pin(12, 0)
    device = board.parts.model("display1")
    assert isinstance(device, ShiftedIn)
    assert device.taken == b"\xa3"


def test_a_bus_selects_the_part_on_its_own_cs_for_each_transfer(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "load_model", lambda _: ShiftedIn)
    first = WiredPart("display1", "st7789", {"sck": 12, "mosi": 11, "cs": 10})
    second = WiredPart("display2", "st7789", {"sck": 12, "mosi": 11, "cs": 9})
    board.parts.wire(Wiring((first, second)))
    for pin in (9, 10):
        board.configure_pin(pin, reads=False, drives=True)
        board.write_pin(pin, 1)
    devices = [board.parts.model(part_id) for part_id in ("display1", "display2")]
    before = [device.selections for device in devices if isinstance(device, ShiftedIn)]
    assert board.parts.spi_transfer(SpiBus(12, 11, cs=9), b"\x0f\x01") == b"\xf0\xfe"
    assert board.parts.spi_transfer(SpiBus(12, 11), b"\x0f\x01") == b"\0\0"
    assert [device.taken for device in devices if isinstance(device, ShiftedIn)] == [b"", b"\x0f\x01"]
    after = [device.selections for device in devices if isinstance(device, ShiftedIn)]
    assert after == [before[0], before[1] + 1]


def test_a_part_on_spi_reads_another_mode_wrongly_and_says_so(
    board: Board, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "load_model", lambda _: ShiftedIn)
    board.parts.wire(Wiring((WiredPart("display1", "st7789", {"sck": 12, "mosi": 11}),)))
    board.parts.spi_transfer(SpiBus(12, 11, mode=3), b"\x81")
    board.parts.spi_transfer(SpiBus(12, 11, is_lowest_first=True), b"\x01")
    assert board.parts.spi_transfer(SpiBus(12, 11, mode=1), b"\x81\x01") == b"\xbf\x7f"
    device = board.parts.model("display1")
    assert isinstance(device, ShiftedIn)
    assert device.taken == b"\x81\x80\x40\x80"
    notes = [row.text for row in board.log().records if row.text.startswith("note on a part")]
    assert notes == ["note on a part: display1 (st7789): it takes SPI mode 0 or 3, and the program sends in mode 1"]
