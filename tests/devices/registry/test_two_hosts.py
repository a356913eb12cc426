"""Entries, changes and removals at one host of a cluster hold at the other, with its transports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from tests.devices.registry.test_registry import FakeTransport, new_registry
from tests.host.store.two_hosts import hold_news, two_hosts, until

from microclaw.devices.registry.calls import GpioGet, PinLevel
from microclaw.devices.registry.device import Device
from microclaw.devices.registry.registry import Registry
from microclaw.errors import ConfigError, DeviceUnreachable
from microclaw.hardware.boards.firmware import parse_firmware
from microclaw.hardware.parts.named_parts import parse_part_line
from microclaw.hardware.parts.wiring import Wiring
from microclaw.host.store.devices import DeviceTable
from microclaw.host.store.postgres import SharedDatabase


@dataclass
class Hosts:
    here: Registry
    there: Registry
    store: SharedDatabase  # of here

    async def both(self, name: str) -> tuple[Device, Device]:
        """The device as each host has it, once both do."""
        await until(lambda: all(name in names(host) for host in (self.here, self.there)))
        return self.here.get(name), self.there.get(name)


def names(host: Registry) -> list[str]:
    return [device.name for device in host.list()]


@pytest.fixture
async def hosts(database_url: str) -> AsyncIterator[Hosts]:
    async with (
        two_hosts(database_url) as (a, b),
        new_registry(DeviceTable(a), "a") as here,
        new_registry(DeviceTable(b), "b") as there,
    ):
        yield Hosts(here, there, a)


async def test_what_one_host_adds_changes_and_removes_is_so_at_the_other(hosts: Hosts) -> None:
    await hosts.there.add("lamp", "virtual", ["serial:/dev/x", "virtual:/s"])
    device, _ = await hosts.both("lamp")
    assert hosts.here.owner_of("serial:/dev/x") is device
    assert await device.call(GpioGet(4), 5) == PinLevel(4, 1)
    stays, goes = device.transports
    await hosts.there.rename("lamp", "light")
    await hosts.there.label("light", ["indoor"])
    await hosts.there.describe_firmware("light", parse_firmware(("nodes=-i2c", "max_apps=2")))
    await hosts.there.set_transports("light", ["serial:/dev/x", "wasmachine://h:1"])
    await until(lambda: "wasmachine://h:1" in device.endpoints)
    assert (hosts.here.get("light"), device.labels) == (device, ("indoor",))
    await hosts.there.change_wiring("light", lambda _: Wiring((parse_part_line("lamp=led pin=5"),)))
    await until(lambda: device.wiring == hosts.there.get("light").wiring)
    assert device.wiring.find("lamp") is not None
    assert device.board == hosts.there.get("light").board
    assert device.transports[0] is stays
    assert isinstance(goes, FakeTransport)
    await until(lambda: goes.closed)
    assert hosts.here.owner_of("virtual:/s") is None
    for name, endpoint in (("twin", "virtual:/s"), ("fan", "serial:/dev/y")):
        await hosts.there.add(name, "virtual", [endpoint])
        await hosts.both(name)
    await hosts.there.remove("fan")
    await hosts.there.merge("light", "twin")
    await until(lambda: names(hosts.here) == ["light"] and len(device.endpoints) == 3)
    await hosts.here.add("fan", "virtual", ["serial:/dev/y"])  # the name and the address are free here too
    await hosts.both("fan")
    hold_news(hosts.store)
    removing = (host.remove("fan") for host in (hosts.here, hosts.there))
    removed = await asyncio.gather(*removing, return_exceptions=True)
    assert sorted(type(one).__name__ for one in removed) == ["NoneType", "UnknownName"], "of two at once one does it"


async def test_one_name_or_address_at_two_hosts_at_once_is_one_devices(hosts: Hosts) -> None:
    for what, words in (("name", "there is a device named lamp already"), ("address", "virtual:/s belongs to ")):
        adding = [
            host.add("lamp" if what == "name" else f"on-{number}", "virtual", [] if what == "name" else ["virtual:/s"])
            for number, host in enumerate((hosts.here, hosts.there))
        ]
        added = await asyncio.gather(*adding, return_exceptions=True)
        (error,) = (outcome for outcome in added if isinstance(outcome, BaseException))
        assert isinstance(error, ConfigError)
        assert error.message.startswith(words)
        (device,) = (outcome for outcome in added if isinstance(outcome, Device))
        await hosts.both(device.name)
    assert names(hosts.here) == names(hosts.there)


async def test_a_change_behind_another_hosts_change_takes_nothing_back_and_brings_nothing_back(hosts: Hosts) -> None:
    await hosts.there.add("lamp", "virtual", [], ["indoor"])
    await hosts.both("lamp")
    hold_news(hosts.store)
    await hosts.there.label("lamp", ["outdoor"])
    with pytest.raises(ConfigError):
        await hosts.here.rename("lamp", "light")  # its labels are still the old ones here
    assert hosts.here.get("lamp").labels == ("outdoor",)
    await hosts.here.rename("lamp", "light")
    _, there = await hosts.both("light")
    assert there.labels == ("outdoor",)
    hold_news(hosts.store)
    await hosts.there.remove("light")
    with pytest.raises(ConfigError):
        await hosts.here.label("light", ["indoor"])
    await until(lambda: names(hosts.here) == names(hosts.there) == [])


async def test_a_board_whose_machine_nobody_knows_says_so_when_it_is_called_here(hosts: Hosts) -> None:
    for name, endpoint, says in (("bench", "serial:/dev/x", True), ("roof", "serial:tcp://192.0.2.7:99", False)):
        await hosts.there.add(name, "virtual", [endpoint])
        device, _ = await hosts.both(name)
        transport = device.transports[0]
        assert isinstance(transport, FakeTransport)
        transport.fails = DeviceUnreachable("cannot open it", next_step="plug it in")
        with pytest.raises(DeviceUnreachable) as refused:
            await device.call(GpioGet(4), 5)
        assert ("on one machine of the cluster" in refused.value.message) is says
        assert "plug it in" in str(refused.value.next_step)
