"""What a model is told of the LED on every board: how to light it, or that it cannot and what to offer instead."""

from __future__ import annotations

import pytest

from microclaw.agent.context import TurnContext, ranges
from microclaw.boards.reader import board_ids, load_board
from microclaw.devices.device import Device
from microclaw.devices.entry import unknown_device
from microclaw.events import Inbound, ProgramKind
from microclaw.models.protocol import DeviceContext, KnownDevice
from microclaw.store.apps import AppTable, DesiredApp


class NoDevices:
    def list(self) -> tuple[Device, ...]:
        return ()

    def get(self, reference: str) -> Device:
        raise unknown_device(reference, [])


class NoApps(AppTable):
    def __init__(self) -> None: ...

    async def desired(self, device_id: str | None = None) -> tuple[DesiredApp, ...]:
        return ()


@pytest.fixture
def prompt() -> TurnContext:
    return TurnContext(devices=NoDevices(), apps=NoApps())


async def told(prompt: TurnContext, board_id: str, kinds: tuple[ProgramKind, ...] = ("wasm",)) -> str:
    device = KnownDevice("desk", load_board(board_id), kinds=kinds)
    return await prompt.dynamic(DeviceContext((device,), device), Inbound("terminal", "terminal", "hello"), "")


@pytest.mark.parametrize("board_id", board_ids())
async def test_led_line_fits_the_board(prompt: TurnContext, board_id: str) -> None:
    board = load_board(board_id)
    text = await told(prompt, board_id)
    if board.led is None:
        assert f"- No LED that a program can switch: {board.no_led}." in text
    else:
        assert f"- LED on pin {board.led.pin}: " in text
        assert ("an addressable LED (WS2812)" in text) == (board.led.kind == "addressable")
        assert ("write 0 to turn it on" in text) == (not board.led.active_level)
    if board.led is None or board.led.kind == "addressable":
        assert f"ask which pin an ordinary LED is on; free: {ranges(board.free_pins('output'))}." in text or (
            f"Ask which pin one is on; free: {ranges(board.free_pins('output'))}." in text
        )


@pytest.mark.parametrize("board_id", board_ids())
async def test_board_without_a_stock_build_is_told_so(prompt: TurnContext, board_id: str) -> None:
    reason = load_board(board_id).firmware.no_stock_build
    assert ("- Programs: " in await told(prompt, board_id)) == (reason is not None)
    assert (reason or "") in await told(prompt, board_id)


@pytest.mark.parametrize("kinds", [("py",), ("wasm", "py")])
async def test_an_addressable_led_is_lit_by_a_python_program(
    prompt: TurnContext, kinds: tuple[ProgramKind, ...]
) -> None:
    text = await told(prompt, "esp32-s3-devkitc-1-v1.1", kinds)
    assert 'neopixel(38).fill("red")' in text
    assert "no function" not in text
