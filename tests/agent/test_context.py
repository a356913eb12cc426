"""What a model is told: the devices with their pins, what runs, the C API, the rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from microclaw.agent.context import TurnContext
from microclaw.apps.change_log import ChangeLog, DesiredApp
from microclaw.boards.reader import load_board
from microclaw.devices.device import Device
from microclaw.devices.entry import unknown_device
from microclaw.errors import UnknownName
from microclaw.store.devices import DeviceRow


@dataclass
class Known:
    devices: list[Device]

    def list(self) -> Sequence[Device]:
        return self.devices

    def get(self, reference: str) -> Device:
        for device in self.devices:
            if device.name == reference:
                return device
        raise unknown_device(reference, [d.name for d in self.devices])


class Wanted(ChangeLog):
    def __init__(self, apps: tuple[DesiredApp, ...] = ()) -> None:
        self.apps = apps

    async def desired(self, device_id: str | None = None, *, stopped: bool = False) -> tuple[DesiredApp, ...]:
        return self.apps


def device(name: str, board: str = "virtual") -> Device:
    return Device(DeviceRow(f"d-{name}", name, board), load_board(board), ())


def surroundings(*devices: Device, apps: tuple[DesiredApp, ...] = ()) -> TurnContext:
    return TurnContext(devices=Known(list(devices)), apps=Wanted(apps))


async def test_of_several_devices_the_chats_own_is_meant_or_none() -> None:
    both = surroundings(device("one"), device("two"))
    assert (await both.devices(None)).meant is None
    meant = (await both.devices("two")).meant
    assert meant is not None
    assert meant.name == "two"
    with pytest.raises(UnknownName):
        await both.devices("three")
