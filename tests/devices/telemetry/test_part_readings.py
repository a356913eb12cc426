"""A real virtual board on the link, with a recorded wiring: which of its parts have series, and when they end."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.agent.turn.conftest import open_store as open_store  # on one engine: tests/host/store has the tables on both
from tests.devices.link.conftest import Plane
from tests.devices.telemetry.conftest import NOON_MS, Clock

from microclaw.devices.registry.device import Device
from microclaw.devices.telemetry.history import History, TelemetryHistory
from microclaw.devices.telemetry.part_readings import PartReadings
from microclaw.devices.transports.virtual_board import VirtualBoardTransport
from microclaw.events import DeviceConnected
from microclaw.hardware.parts.named_parts import without_part
from microclaw.hardware.parts.wiring import parse_wiring
from microclaw.host.store.telemetry import HOUR_MS
from microclaw.wire.board_control import SetSensor

WIRING = """
[attic]
part = "bme280"
address = 0x77

[cellar]
part = "bme280"
address = 0x76

[roof]
part = "bh1750"

[dht1]
part = "dht22"
data = 6
"""
BME280 = ("temperature_c", "humidity_pct", "pressure_hpa")


@asynccontextmanager
async def linked_board(plane: Plane, folder: Path) -> AsyncIterator[VirtualBoardTransport]:
    """A board's process that is connected to the plane as `house`, with the wiring of WIRING."""
    facts = await plane.plane.provision("house", board="virtual")
    (folder / "wiring.toml").write_text(WIRING)
    (folder / "secret").write_text(facts.secret or "")
    words = ["--name", "house", "--wasmachine", "0", "--serial", "none", "--flash", str(folder / "flash")]
    words += ["--link", plane.plane.address, "--link-ca-sha256", facts.ca_sha256]
    words += ["--link-secret-file", str(folder / "secret"), "--wiring", str(folder / "wiring.toml")]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "microclaw.virtual", *words, "--die-with-parent", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        ready = json.loads(await process.stdout.readline())
        await plane.published.until(DeviceConnected)
        control = VirtualBoardTransport(ready["control"])
        yield control
        await control.close()
    finally:
        process.terminate()
        await process.wait()


async def read_means(history: TelemetryHistory, device: Device) -> dict[str, list[float]]:
    keys = await history.keys(device)
    found: History = await history.read(device.device_id, keys, NOON_MS, NOON_MS + HOUR_MS, 120)
    return {series.key: [point.mean for point in series.points] for series in found.series if "/" in series.key}


async def test_each_wired_sensor_has_its_series_and_an_unwired_one_gets_no_more_values(
    plane: Plane, history: TelemetryHistory, clock: Clock, tmp_path: Path
) -> None:
    readings = PartReadings(plane.registry, history)
    async with linked_board(plane, tmp_path) as board:
        house = plane.registry.get("house")
        await plane.registry.change_wiring("house", lambda _: parse_wiring(WIRING))
        await board.request(SetSensor("attic", {"temperature": 31.0}))
        await board.request(SetSensor("cellar", {"temperature": 12.5}))
        await board.request(SetSensor("roof", {"light": 800}))
        await readings.read_all()
        means = await read_means(history, house)
        bme280_keys = {f"{part}/{field}" for part in ("attic", "cellar") for field in BME280}
        # The INA219 that the board's profile has soldered on is not on this bench, so it does not answer.
        assert means.keys() == {*bme280_keys, "roof/light_lux"}
        assert means["attic/temperature_c"] == [31.0]
        assert means["cellar/temperature_c"] == [12.5]
        assert means["roof/light_lux"] == [800]
        units = {value.key: value.unit for value in history.last(house.device_id)}
        assert units["attic/temperature_c"] == "°C"
        assert units["roof/light_lux"] == "lx"

        await plane.registry.change_wiring("house", lambda wiring: without_part(wiring, "attic"))
        await board.request(SetSensor("cellar", {"temperature": 13.5}))
        clock.at_ms += 60_000
        await readings.read_all()
        means = await read_means(history, house)
        assert len(means["attic/temperature_c"]) == 1
    clock.at_ms += 60_000
    await readings.read_all()
    assert await read_means(history, house) == means


async def test_a_board_that_would_need_a_program_for_it_is_not_read(
    plane: Plane, paired: object, history: TelemetryHistory
) -> None:
    stock = await plane.registry.add("stock", "virtual", ["wasmachine://127.0.0.1:9"])
    await PartReadings(plane.registry, history).read_all()
    assert history.last(stock.device_id) == []
