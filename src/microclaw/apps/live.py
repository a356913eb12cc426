"""Completed changes as live events: a program was deployed, or taken away. It changes nothing."""

from __future__ import annotations

from collections.abc import Callable

from microclaw.apps.change import Change, PutApp, RemoveApp
from microclaw.apps.ports import Devices
from microclaw.bus.live import AppDeployed, AppEnded, LiveEvent
from microclaw.errors import UnknownName


def change_publisher(
    devices: Devices, publish: Callable[[LiveEvent], None], now_ms: Callable[[], int]
) -> Callable[[Change], None]:
    """For Ledger's `completed`."""

    def completed(change: Change) -> None:
        match change.forward:
            case PutApp(name=name):
                publish(AppDeployed(_name(devices, change.device_id), now_ms(), name))
            case RemoveApp(name=name):
                publish(AppEnded(_name(devices, change.device_id), now_ms(), name, "removed"))

    return completed


def _name(devices: Devices, device_id: str) -> str:
    try:
        return devices.get(device_id).name
    except UnknownName:  # it was removed while its change was under way
        return device_id
