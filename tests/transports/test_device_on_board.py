"""A device with all its transports on one virtual board, through the registry: the whole way of a call."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from microclaw.devices.calls import (
    AppList,
    AppStates,
    Call,
    DeviceInfo,
    DeviceStatus,
    EdgesRead,
    GpioGet,
    GpioSet,
    I2cRead,
    PwmSet,
)
from microclaw.devices.device import Device
from microclaw.devices.registry import Registry
from microclaw.errors import DeviceUnreachable, NotSupported, PinRefused
from microclaw.store.database import Database
from microclaw.store.devices import DeviceTable
from microclaw.transports.open import open_transport
from microclaw.virtual_boards.process import VirtualBoardProcess


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    ids = itertools.count(1)
    async with (
        Database.open(tmp_path / "microclaw.db") as database,
        Registry(
            store=DeviceTable(database),
            open_transport=partial(open_transport, lock_folder=tmp_path / "locks"),
            mint_id=lambda: f"dev{next(ids)}",
            now_ms=lambda: 0,
        ) as registry,
    ):
        yield registry


@pytest.fixture
async def device(registry: Registry, board: VirtualBoardProcess) -> Device:
    return await registry.add("bench-1", "virtual", board.ready.transports)


async def test_level_set_over_serial_is_counted_at_the_pin(device: Device) -> None:
    start = await device.call(EdgesRead())
    await device.call(GpioSet(4, 1))
    assert (await device.call(GpioGet(4))).level == 1
    edges = (await device.call(EdgesRead(start.cursor))).edges
    assert [(edge.pin, edge.level) for edge in edges] == [(4, 1)]
    assert device.evidence_of("gpio.get") == "counted"


async def test_every_transport_answers_for_its_methods(device: Device) -> None:
    assert (await device.call(I2cRead("bme280"))).values["temperature_c"] == pytest.approx(22.5, abs=0.5)
    assert (await device.call(PwmSet(5, 64))).duty == 64
    assert await device.call(AppList()) == ()
    assert await device.call(AppStates()) == ()
    assert (await device.call(DeviceInfo())).values["device"] == "bench-1"


async def test_status_has_what_only_the_serial_port_and_only_the_record_tell(device: Device) -> None:
    status = (await device.call(DeviceStatus())).values
    assert {"free_heap_kb", "free_heap"} & status.keys()
    assert status["powered"] is True


async def test_flash_pin_is_refused_although_the_firmware_would_take_it(device: Device) -> None:
    before = (await device.call(EdgesRead())).cursor
    with pytest.raises(PinRefused):
        await device.call(GpioSet(27, 1))
    assert (await device.call(EdgesRead(before))).edges == ()


async def test_board_without_its_control_socket_still_answers_over_serial(
    registry: Registry, device: Device, board: VirtualBoardProcess
) -> None:
    await registry.set_transports("bench-1", [*board.ready.transports[:2], "virtual:/nowhere/control.sock"])
    await device.call(GpioSet(6, 1))
    assert (await device.call(GpioGet(6))).level == 1
    await registry.set_transports("bench-1", board.ready.transports[:2])
    with pytest.raises(NotSupported):
        await device.call(EdgesRead())


async def test_killed_board_is_unreachable_on_every_transport(device: Device, board: VirtualBoardProcess) -> None:
    await device.call(GpioSet(4, 1))
    await board.kill()
    calls: tuple[Call[Any], ...] = (GpioSet(4, 0), GpioGet(4), AppList(), EdgesRead())
    for call in calls:
        with pytest.raises(DeviceUnreachable) as caught:
            await device.call(call)
        assert caught.value.next_step
