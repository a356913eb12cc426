"""Which board a program's page is on, and whether the program has pages. It asks no board."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from microclaw.bounded_map import BoundedMap
from microclaw.errors import AppNotFound
from microclaw.network_use import NetworkUse
from microclaw.programs.board_list import find_by_name
from microclaw.wire.wasmachine.request import PAGE_URL

if TYPE_CHECKING:
    from microclaw.devices.registry.device import Device
    from microclaw.devices.registry.registry import Registry
    from microclaw.programs.changes.change_log import ChangeLog, DesiredApp

MAX_KNOWN: Final = 1024


class PageBoards(Struct, frozen=True):
    """The boards by the programs that this host put on them."""

    registry: Registry
    change_log: ChangeLog
    known_pages: BoundedMap[tuple[str, tuple[int, ...]], bool] = field(default_factory=partial(BoundedMap, MAX_KNOWN))
    """If a program has pages, by the SHA-256 of its image and its ports."""

    async def board_of(self, name: str, device: str | None) -> Device:
        """Return the named board, else the only one with the program. Raises AppNotFound if none or several have it."""
        if device is not None:
            return self.registry.get(device)
        device_ids = await self.change_log.device_ids_with(name)
        devices = [self.registry.get(device_id) for device_id in device_ids]
        if not devices:
            raise AppNotFound(f"no program {name[:40]!r} runs on a board", next_step="microclaw app list")
        if len(devices) > 1:
            names = ", ".join(board.name for board in devices)
            first = devices[0].name
            raise AppNotFound(f"{name} runs on {names}", next_step=f"name one: -d {first}, /app/{name}@{first}/")
        return devices[0]

    async def check_pages(self, device: Device, name: str) -> None:
        """Raise AppNotFound if this host has no such program for the board, or if the program has no pages."""
        app = await self._app_of(device, name, stopped=False) or await self._app_of(device, name, stopped=True)
        if app is None:
            text = f"{device.name} has no program {name[:40]!r} of this host"
            raise AppNotFound(text, next_step=f"microclaw app list -d {device.name}")
        await self._check_image(app)

    async def check_known(self, device: Device, name: str) -> None:
        """Raise AppNotFound if this host put the program on the board, and knows that it has no pages or is stopped."""
        app = await self._app_of(device, name, stopped=False)
        if app is not None:
            await self._check_image(app)
            return
        stopped = await self._app_of(device, name, stopped=True)
        if stopped is not None:
            await self._check_image(stopped)
            step = f"microclaw app start {stopped.name} -d {device.name}"
            raise AppNotFound(f"{stopped.name} does not run on {device.name}", next_step=step)

    async def _app_of(self, device: Device, name: str, *, stopped: bool) -> DesiredApp | None:
        return find_by_name(await self.change_log.desired(device.device_id, stopped=stopped), name)

    async def _check_image(self, app: DesiredApp) -> None:
        # Each request for a page comes here: an image is read once.
        key = app.sha256, app.claims.network.ports
        is_served = self.known_pages.get(key)
        if is_served is None:
            image = await self.change_log.image(app.sha256)
            is_served = has_pages(image.code, app.claims.network)
            self.known_pages[key] = is_served
        if not is_served:
            step = "give it a web server: docs/program-pages.md"
            raise AppNotFound(f"{app.name} has no pages", next_step=step)


def has_pages(code: bytes, network: NetworkUse) -> bool:
    """Return True if a program opens a port, or names the resource of pages in its WebAssembly."""
    names_resource = b"wasm_register_resource" in code and PAGE_URL.encode() + b"\0" in code
    return bool(network.ports) or names_resource
