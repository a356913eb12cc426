"""From a face's address to the face. Nothing is connected yet: that happens at the first call."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from microclaw.boards.profile import BoardProfile
from microclaw.config import cache_folder
from microclaw.devices.face import Face
from microclaw.errors import ConfigError
from microclaw.faces import control, serial, serial_place, wasmachine

if TYPE_CHECKING:
    from microclaw.faces.link.device_link import DeviceLink

LINK_SCHEME = "link:"
_FORMS = (
    "wasmachine://HOST:PORT, serial:/dev/ttyACM0, serial:usb-VID:PID, serial:tcp://HOST:PORT or "
    "virtual:/PATH/control.sock"
)


def open_face(
    face_id: str,
    board: BoardProfile,
    *,
    lock_folder: Path | None = None,
    links: Callable[[str], DeviceLink] | None = None,
) -> Face:
    """ConfigError names the known forms; HOST:PORT alone is taken as WASMachine."""
    locks = lock_folder or cache_folder(os.environ) / "locks"
    if face_id.startswith(LINK_SCHEME):
        if links is None:
            raise ConfigError(
                f"{face_id} is a device's own connection to its host", next_step="ask the host: microclaw device show"
            )
        return _link_face(links(face_id.removeprefix(LINK_SCHEME)))
    if face_id.startswith(wasmachine.SCHEME):
        return wasmachine.WasmachineFace(face_id, board, lock_folder=locks)
    if face_id.startswith(serial_place.SCHEME):
        return serial.SerialFace(face_id, lock_folder=locks)
    if face_id.startswith(control.SCHEME):
        return control.VirtualFace(face_id)
    try:
        return wasmachine.WasmachineFace(face_id, board, lock_folder=locks)
    except ConfigError as exc:
        raise ConfigError(f"{face_id!r} is no address of a device", next_step=f"write {_FORMS}") from exc


def _link_face(link: DeviceLink) -> Face:
    from microclaw.faces.link.face import LinkFace  # with a host alone: commands to HOST:PORT do without the link

    return LinkFace(link)
