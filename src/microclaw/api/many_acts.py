"""Which devices a request of many means, and what became of each. It has no route."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

from pydantic import Field

from microclaw.api.body import RequestBody
from microclaw.api.parts import HostParts
from microclaw.apps.many import BoardOutcome
from microclaw.devices.device import Device
from microclaw.devices.selection import Selected, Selection, names_text, select
from microclaw.wire.host_api import failure_object, failure_of

MAX_CHOSEN: Final = 1000
Words = Annotated[list[str], Field(max_length=MAX_CHOSEN)]


class Choice(RequestBody):
    """Exactly one of the three."""

    devices: Words = Field([])
    labels: Annotated[list[str], Field(max_length=16)] = Field([])
    all: bool = False

    def selected(self, parts: HostParts, method: str) -> Selected:
        return select(parts.devices, Selection(tuple(self.devices), tuple(self.labels), self.all), method)


def devices_text(devices: Sequence[Device]) -> str:
    shown = names_text(device_names(devices))
    return f"{len(devices)} devices ({shown})" if len(devices) > 1 else shown


def device_names(devices: Sequence[Device]) -> list[str]:
    return [device.name for device in devices]


def results_object(chosen: Selected, outcomes: Sequence[BoardOutcome[dict[str, Any]]]) -> dict[str, Any]:
    """`results` has one object a device: its name, and `made` or `error`."""
    rows = [
        {"device": one.device_name, "made": one.value}
        if one.error is None
        else {"device": one.device_name, "error": failure_object(failure_of(one.error))}
        for one in outcomes
    ]
    failed = sum("error" in row for row in rows)
    return {"results": rows, "failed": failed, "left_out": list(chosen.left_out)}
