"""Reads the sensors that are wired to devices into the history. It puts no program onto a board."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from microclaw.devices.registry.calls import GpioGet, I2cRead
from microclaw.devices.registry.device import Device
from microclaw.devices.registry.registry import Registry
from microclaw.devices.telemetry.history import TelemetryHistory
from microclaw.errors import DeviceTimeout, DeviceUnreachable, MicroclawError
from microclaw.hardware.parts.readable import readable_sensors

READ_EVERY_S: Final = 60.0
ANSWER_S: Final = 3.0
# Devices that are read at a time.
MAX_DEVICES_AT_ONCE: Final = 16

_log = logging.getLogger(__name__)


class PartReadings:
    """The readings of wired parts. A series has the part's id and the field of the reading ("air/temperature_c")."""

    def __init__(self, devices: Registry, history: TelemetryHistory) -> None:
        self._devices = devices
        self._history = history

    async def follow(self) -> None:
        """Read all parts each READ_EVERY_S; never returns."""
        while True:
            await asyncio.sleep(READ_EVERY_S)
            await self.read_all()

    async def read_all(self) -> None:
        """Read the wired parts of every device that is connected to this host."""
        free_places = asyncio.Semaphore(MAX_DEVICES_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for device in self._devices.list():
                if _reads_parts(device):
                    group.create_task(self._read_device(device, free_places), name=f"read the parts of {device.name}")

    async def _read_device(self, device: Device, free_places: asyncio.Semaphore) -> None:
        async with free_places:
            for sensor, part in readable_sensors(device.wiring, device.board).items():
                try:
                    reading = await device.call(I2cRead(sensor), ANSWER_S, wait=False)
                except (DeviceTimeout, DeviceUnreachable) as exc:
                    # Its other parts would not answer either.
                    _log.debug("the parts of %s were not read: %s", device.name, exc.message)
                    return
                except MicroclawError as exc:
                    # It does not answer, or a program has the bus.
                    _log.debug("%s of %s was not read: %s", part.id, device.name, exc.message)
                    continue
                values = {}
                for field in part.facts.reading_fields:
                    if field in reading.values:
                        values[f"{part.id}/{field}"] = reading.values[field]
                self._history.add_values(device.device_id, values)


def _reads_parts(device: Device) -> bool:
    """Return whether the firmware of a connected device reads its sensors and counts edges, as no stock firmware does.

    With stock firmware a reading would need a program of ours on the board. In a cluster, the host reads a device that
    is connected to it.
    """
    if not device.supports(I2cRead.method) or device.evidence_of(GpioGet.method) != "counted":
        return False
    return device.transport_for(I2cRead.method).here.online
