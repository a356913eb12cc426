"""Which devices a request of many means, and what became of each. It has no route."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import Field

from microclaw.api.body import RequestBody
from microclaw.api.parts import HostParts
from microclaw.devices.device import Device
from microclaw.devices.selection import Selected, Selection, select

MAX_CHOSEN: Final = 1000
Words = Annotated[list[str], Field(max_length=MAX_CHOSEN)]


class Choice(RequestBody):
    """Exactly one of the three."""

    devices: Words = Field([])
    labels: Annotated[list[str], Field(max_length=16)] = Field([])
    all: bool = False

    def selected(self, parts: HostParts, method: str) -> Selected:
        return select(parts.devices, Selection(tuple(self.devices), tuple(self.labels), self.all), method)


def device_names(devices: Sequence[Device]) -> list[str]:
    return [device.name for device in devices]
