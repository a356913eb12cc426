"""The record of what is wired to a device, in a real store."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.devices.registry.test_registry import new_registry, open_registry
from tests.stores import new_store

from microclaw.devices.registry.device import Device
from microclaw.devices.registry.device_entry import differences, read_record
from microclaw.errors import ConfigError, UnknownName
from microclaw.hardware.parts.named_parts import parse_part_line, part_line, with_part, without_part
from microclaw.hardware.parts.wiring import Wiring, parse_wiring, soldered_parts
from microclaw.host.store.database import Database
from microclaw.host.store.devices import DeviceRow, DeviceTable

LAMP = parse_part_line('lamp=led pin=5 active=low label="fish tank light"')
SOLDERED = ["bme280=bme280 address=0x76", "ina219=ina219 address=0x40"]


def lines(device: Device) -> list[str]:
    return [part_line(part) for part in device.wiring.parts]


async def test_a_record_survives_the_host_and_has_lines_in_the_security_log(tmp_path: Path) -> None:
    async with open_registry(tmp_path) as registry:
        desk = await registry.add("desk", "virtual", [])
        assert lines(desk) == SOLDERED
        before = desk.row
        await registry.change_wiring("desk", lambda wiring: with_part(wiring, LAMP))
        (text,) = (
            set(differences(before, desk.row))
            - set(differences(before, before))
            - {f"wiring: {line}, was none" for line in SOLDERED}
        )
        assert text == f"wiring: {part_line(LAMP)}, was none"
        with pytest.raises(ConfigError):
            await registry.change_wiring("desk", lambda _: parse_wiring('[a]\npart="led"\npin=33'))
        with pytest.raises(UnknownName):
            await registry.change_wiring("desk", lambda wiring: without_part(wiring, "fan"))
    async with open_registry(tmp_path) as registry:
        assert lines(registry.get("desk")) == [*SOLDERED, part_line(LAMP)]
        await registry.change_wiring("desk", lambda _: Wiring())
        assert lines(registry.get("desk")) == SOLDERED


async def test_labels_are_added_and_removed_and_never_wiped(tmp_path: Path) -> None:
    async with open_registry(tmp_path) as registry:
        desk = await registry.add("desk", "virtual", [], ["indoor", "pin-6=fan"])
        assert desk.labels == ("indoor",)
        await registry.change_labels("desk", ["room=kitchen", "pin-5=lamp"], ["indoor"])
        assert desk.labels == ("room=kitchen",)
        assert lines(desk) == [
            *SOLDERED,
            "fan=load pin=6 active=high label=fan",
            "lamp=led pin=5 active=high label=lamp",
        ]
        await registry.change_labels("desk", ["pin-7=Coffee lamp (left)"], ["pin-6=fan"])
        assert desk.wiring.find("fan") is None
        (coffee,) = desk.wiring.on_pin(7)
        assert (coffee.id, coffee.label) == ("coffee-lamp-left", "Coffee lamp (left)")
        for wrong in ("pin-6=fan", "pin-4=lamp", "indoor"):
            with pytest.raises(UnknownName):
                await registry.change_labels("desk", ["attic"], [wrong])
        for wrong in ("pin-33=x", "Two Words"):
            with pytest.raises(ConfigError):
                await registry.change_labels("desk", [wrong], [])
        with pytest.raises(ConfigError) as refused:
            await registry.change_labels("desk", ["room=Living Room!"], [])
        assert refused.value.next_step == "try room=living-room"
        assert desk.labels == ("room=kitchen",)


async def test_a_home_of_an_earlier_version_has_its_named_pins_wired_once(tmp_path: Path) -> None:
    labels = ("room=kitchen", "pin-5=lamp", "pin-33=x", "pin-999=y", "indoor")
    async with Database.open(new_store(tmp_path / "microclaw.db")) as database:
        await DeviceTable(database).put(DeviceRow("d1", "desk", "virtual", labels=labels))
        for _ in range(2):
            async with new_registry(DeviceTable(database)) as registry:
                assert lines(registry.get("desk")) == [*SOLDERED, "lamp=led pin=5 active=high label=lamp"]
            (row,) = await DeviceTable(database).list()
            assert row.labels == ("room=kitchen", "pin-33=x", "pin-999=y", "indoor")
            assert read_record(row).find("lamp") is not None


async def test_two_entries_of_one_board_have_the_parts_of_both(tmp_path: Path) -> None:
    async with open_registry(tmp_path) as registry:
        net = await registry.add("net", "virtual", ["wasmachine://h:1"])
        await registry.add("usb", "virtual", ["serial:/dev/x"], ["pin-5=lamp"])
        await registry.merge("net", "usb")
        assert lines(net) == [*SOLDERED, "lamp=led pin=5 active=high label=lamp"]


async def test_what_a_later_version_recorded_stays_until_it_is_removed(tmp_path: Path) -> None:
    later = {"part": "of-later", "pin": 7}
    async with Database.open(new_store(tmp_path / "microclaw.db")) as database:
        await DeviceTable(database).put(DeviceRow("d1", "desk", "virtual", wiring={"x": later}))
        async with new_registry(DeviceTable(database)) as registry:
            await registry.change_labels("desk", ["pin-5=lamp"], [])
            await registry.change_wiring("desk", lambda wiring: with_part(wiring, LAMP))
        (row,) = await DeviceTable(database).list()
        assert row.wiring["x"] == later
        assert read_record(row).find("lamp") is not None
        async with new_registry(DeviceTable(database)) as registry:
            await registry.change_wiring("desk", lambda wiring: without_part(wiring, "x"))
        (row,) = await DeviceTable(database).list()
        assert "x" not in row.wiring


async def test_what_follows_the_wiring_is_called_after_each_change(tmp_path: Path) -> None:
    async with open_registry(tmp_path) as registry:
        desk = await registry.add("desk", "virtual", [])
        changed: list[list[str]] = []

        async def note(device: Device, before: Wiring) -> None:
            changed.append(lines(device))
            assert before == soldered_parts(device.board)

        registry.wiring_watchers.append(note)
        await registry.change_wiring("desk", lambda _: Wiring((LAMP,)))
        await registry.rename("desk", "bench")
        assert changed == [lines(desk)]
        assert part_line(LAMP) in changed[0]
