"""Acts at the pins of a stock board: our program comes, acts, is read back, and stays only while it holds a pin."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.devices.transports.conftest import of_board

from microclaw.devices.registry.calls import (
    AppEntry,
    AppInstall,
    AppList,
    AppUninstall,
    EdgesRead,
    GpioGet,
    GpioSet,
    I2cRead,
    I2cScan,
    PinLevel,
)
from microclaw.devices.transports.pin_calls import HEAP_BYTES, PIN_PROGRAM, pin_url
from microclaw.devices.transports.virtual_board import VirtualBoardTransport
from microclaw.devices.transports.wasmachine import WasmachineTransport
from microclaw.devices.virtual_boards.process import VirtualBoardProcess
from microclaw.errors import CallRejected
from microclaw.hardware.boards import load_board
from microclaw.programs.wasm.pin_program import build_pin_program
from microclaw.wire.board_control import Apps, Info, Pins, Power, SetInput, SetSensor

LIMIT_S = 60.0


@pytest.fixture
async def control(board: VirtualBoardProcess) -> AsyncIterator[VirtualBoardTransport]:
    control = VirtualBoardTransport(board.ready.control)
    yield control
    await control.close()


async def _level(control: VirtualBoardTransport, pin: int) -> tuple[str, int]:
    row = next(row for row in (await control.request(Pins())).pins if row.pin == pin)
    return row.role, row.level


async def test_level_is_set_read_back_and_lasts_while_the_program_holds_it(
    transport: WasmachineTransport, control: VirtualBoardTransport
) -> None:
    assert await transport.call(GpioSet(4, 1), LIMIT_S) == PinLevel(4, 1)
    assert await transport.call(AppList(), LIMIT_S) == (AppEntry(PIN_PROGRAM, HEAP_BYTES),)
    assert await _level(control, 4) == ("output", 1)
    assert await transport.call(GpioGet(4), LIMIT_S) == PinLevel(4, 1)
    assert await _level(control, 4) == ("output", 1)
    assert transport.held_pins == {4: "level"}
    await transport.call(AppUninstall(PIN_PROGRAM), LIMIT_S)
    assert await transport.call(AppList(), LIMIT_S) == ()
    assert transport.held_pins == {}
    # What holds nothing leaves no program behind.
    await control.request(SetInput(5, 1))
    assert await transport.call(GpioGet(5), LIMIT_S) == PinLevel(5, 1)
    assert (await transport.call(I2cScan(), LIMIT_S)).addresses == (0x40, 0x76)
    await control.request(SetSensor("bme280", {"temperature_c": 30.5}))
    assert (await transport.call(I2cRead("bme280"), LIMIT_S)).values["temperature_c"] == pytest.approx(30.5, abs=0.1)
    assert (await control.request(Apps())).apps == ()


async def test_edges_of_an_earlier_boot_tell_no_present_level(control: VirtualBoardTransport) -> None:
    edge_ms = (await control.request(SetInput(6, 1))).now_ms
    assert (await control.call(EdgesRead(0), LIMIT_S)).edges
    await control.request(Power("reset"))
    # From then on the time of the old edge is one of this boot, too.
    while (await control.request(Info())).now_ms <= edge_ms:
        pass
    await control.request(SetInput(7, 1))
    log = await control.call(EdgesRead(0), LIMIT_S)
    assert [(edge.pin, edge.level) for edge in log.edges if edge.pin in (6, 7)] == [(7, 1)]
    assert (6, 1) in [(edge.pin, edge.level) for edge in (await control.edges()).edges]


async def test_a_sensor_is_found_at_each_of_its_addresses(board: VirtualBoardProcess, tmp_path: Path) -> None:
    profile = load_board("virtual")
    assert profile.i2c is not None
    unwired = replace(profile, i2c=replace(profile.i2c, sensors={}))
    assert pin_url(unwired, I2cRead("ina219")) == "pins/ina219/64/65/68/69"
    # The board's sensor is at its usual address, and its profile names another one.
    elsewhere = replace(profile, i2c=replace(profile.i2c, sensors={"ina219": 0x45}))
    assert pin_url(elsewhere, I2cRead("ina219")) == "pins/ina219/69/64/65/68"
    transport = of_board(board, tmp_path, profile=elsewhere)
    reading = await transport.call(I2cRead("ina219"), LIMIT_S)
    assert reading.values.keys() == {"voltage_v", "current_ma", "power_mw"}
    with pytest.raises(CallRejected):
        await transport.call(I2cRead("dht22"), LIMIT_S)
    await transport.close()


async def test_what_a_dead_host_left_is_taken_off_unless_it_holds_a_pin(
    board: VirtualBoardProcess, control: VirtualBoardTransport, tmp_path: Path
) -> None:
    dead = of_board(board, tmp_path)
    program = await build_pin_program(dead.board)
    await dead.call(AppInstall(PIN_PROGRAM, program, HEAP_BYTES), LIMIT_S)
    await dead.close()
    second = of_board(board, tmp_path)
    assert await second.call(AppList(), LIMIT_S) == ()
    assert (await control.request(Apps())).apps == ()
    await second.call(GpioSet(4, 1), LIMIT_S)
    await second.close()
    third = of_board(board, tmp_path)
    assert [app.name for app in await third.call(AppList(), LIMIT_S)] == [PIN_PROGRAM]
    assert third.held_pins == {4: "level"}
    assert await _level(control, 4) == ("output", 1)
    await third.close()
