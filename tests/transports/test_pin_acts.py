"""Acts at the pins of a stock board: our program comes, acts, is read back, and stays only while it holds a pin."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from microclaw.boards import load_board
from microclaw.devices.calls import (
    AppEntry,
    AppInstall,
    AppList,
    AppUninstall,
    GpioGet,
    GpioSet,
    I2cRead,
    I2cScan,
    PinLevel,
    PwmSet,
    PwmState,
)
from microclaw.errors import CallRejected, ProtocolError
from microclaw.transports.pin_program import HEAP_BYTES, PIN_PROGRAM, pin_methods, pin_source, read_answer
from microclaw.transports.virtual_board import VirtualBoardTransport
from microclaw.transports.wasmachine import WasmachineTransport
from microclaw.transports.wasmachine_connection import Timeouts
from microclaw.virtual_boards.process import VirtualBoardProcess
from microclaw.wasm.compile import compile_module

LIMIT_S = 60.0
QUICK = Timeouts(answer_s=5.0, first_query_s=2.5, log_s=1.5, idle_s=0.05)
OTHER = """#include <microclaw.h>
void on_init(void) { gpio_set(gpio_open(4, GPIO_OUT), 1); }"""


def _transport(board: VirtualBoardProcess, locks: Path) -> WasmachineTransport:
    return WasmachineTransport(board.ready.transports[0], load_board("virtual"), lock_folder=locks, timeouts=QUICK)


@pytest.fixture
async def transport(board: VirtualBoardProcess, tmp_path: Path) -> AsyncIterator[WasmachineTransport]:
    transport = _transport(board, tmp_path)
    yield transport
    await transport.close()


@pytest.fixture
async def control(board: VirtualBoardProcess) -> AsyncIterator[VirtualBoardTransport]:
    control = VirtualBoardTransport(board.ready.control)
    yield control
    await control.close()


async def _level(control: VirtualBoardTransport, pin: int) -> tuple[str, int]:
    row = next(row for row in await control.pins() if row.pin == pin)
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
    await control.set_input(5, 1)
    assert await transport.call(GpioGet(5), LIMIT_S) == PinLevel(5, 1)
    assert (await transport.call(I2cScan(), LIMIT_S)).addresses == (0x40, 0x76)
    await control.set_sensor("bme280", {"temperature_c": 30.5})
    assert (await transport.call(I2cRead("bme280"), LIMIT_S)).values["temperature_c"] == pytest.approx(30.5, abs=0.1)
    assert await control.app_rows() == ()


async def test_pwm_is_held_until_its_duty_is_0(transport: WasmachineTransport, control: VirtualBoardTransport) -> None:
    assert await transport.call(PwmSet(5, 128, 1000), LIMIT_S) == PwmState(5, 128, 1000)
    changes, _ = await control.pwm_changes()
    assert (changes[-1].pin, changes[-1].duty, changes[-1].frequency_hz) == (5, 128, 1000)
    assert transport.held_pins == {5: "pwm"}
    await transport.call(GpioSet(4, 0), LIMIT_S)
    assert transport.held_pins == {4: "level", 5: "pwm"}
    await transport.call(PwmSet(5, 0, 1000), LIMIT_S)
    assert transport.held_pins == {4: "level"}
    with pytest.raises(CallRejected):
        await transport.call(PwmSet(5, 128, 20_000), LIMIT_S)


async def test_a_pin_that_a_program_has_open_is_refused_and_nothing_stays(
    transport: WasmachineTransport, control: VirtualBoardTransport
) -> None:
    image = await compile_module(OTHER, load_board("virtual"), name="other")
    await transport.call(AppInstall("other", image.wasm, 8192), LIMIT_S)
    with pytest.raises(CallRejected):
        await transport.call(GpioSet(4, 0), LIMIT_S)
    assert await _level(control, 4) == ("output", 1)
    assert [row.name for row in await control.app_rows()] == ["other"]


async def test_what_a_dead_host_left_is_taken_off_unless_it_holds_a_pin(
    board: VirtualBoardProcess, control: VirtualBoardTransport, tmp_path: Path
) -> None:
    dead = _transport(board, tmp_path)
    image = await compile_module(pin_source(dead.board), dead.board, name=PIN_PROGRAM, optimization="Os")
    await dead.call(AppInstall(PIN_PROGRAM, image.wasm, HEAP_BYTES), LIMIT_S)
    await dead.close()
    second = _transport(board, tmp_path)
    assert await second.call(AppList(), LIMIT_S) == ()
    assert await control.app_rows() == ()
    await second.call(GpioSet(4, 1), LIMIT_S)
    await second.close()
    third = _transport(board, tmp_path)
    assert [app.name for app in await third.call(AppList(), LIMIT_S)] == [PIN_PROGRAM]
    assert third.held_pins == {4: "level"}
    assert await _level(control, 4) == ("output", 1)
    await third.close()


def test_a_foreign_answer_is_no_answer() -> None:
    endless = b"ok" + b" 1" * 200 + b";"
    for answer in (b"", b"ok", b"ok 1", b"yes 1;", b"ok 1; 4x", b"ok 99999999999;", b"ok \xff;", endless):
        with pytest.raises(ProtocolError):
            read_answer(answer)


def test_a_firmware_without_i2c_and_pwm_gets_a_program_without_them() -> None:
    board = load_board("virtual")
    bare = replace(board, firmware=replace(board.firmware, device_nodes=frozenset({"gpio"})))
    assert pin_methods(bare) == {"gpio.set", "gpio.get"}
    assert "i2c.h" in pin_source(board)
    assert "i2c.h" not in pin_source(bare)
