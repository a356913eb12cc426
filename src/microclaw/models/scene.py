"""What a turn knows of the devices before it asks any of them. Facts only; no device is asked here."""

from __future__ import annotations

from dataclasses import dataclass

from microclaw.boards.profile import BoardProfile


@dataclass(frozen=True, slots=True)
class KnownApp:
    """A program this host put on a device, and the pins it uses."""

    name: str
    pins: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class KnownDevice:
    name: str
    board: BoardProfile
    apps: tuple[KnownApp, ...] = ()


@dataclass(frozen=True, slots=True)
class Scene:
    """Every device, and the one that is meant when a sentence names none: the chat's, or the only one."""

    devices: tuple[KnownDevice, ...] = ()
    meant: KnownDevice | None = None
