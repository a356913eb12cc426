"""What a model is told of the LED on every board: how to light it, or that it cannot and what to offer instead."""

from __future__ import annotations

import pytest

from microclaw.agent.context import TurnContext, ranges
from microclaw.boards.reader import board_ids, load_board
from microclaw.devices.device import Device
from microclaw.devices.registry import unknown_device
from microclaw.events import Inbound
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


async def told(prompt: TurnContext, board_id: str) -> str:
    device = KnownDevice("desk", load_board(board_id))
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
