"""The host's values as JSON objects for its HTTP answers. It fetches nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

from microclaw.api.answers import DeviceFacts, filled
from microclaw.boards.firmware import firmware_object
from microclaw.boards.pins import labelled_pins, refusal
from microclaw.boards.profile import BoardProfile
from microclaw.boards.voice import VOICE_BOARD
from microclaw.devices.calls import AppInstall
from microclaw.devices.device import Device
from microclaw.link_server.server import LinkServer
from microclaw.link_server.transport import LinkTransport
from microclaw.transports.xiaozhi import XiaozhiTransport


def device_object(device: Device, server: LinkServer | None) -> dict[str, Any]:
    board = device.board
    state = server.state(device) if server is not None else None
    return filled(
        DeviceFacts,
        device,
        board=board.board_id,
        title=board.title,
        chip=board.chip,
        transports=list(device.endpoints),
        labels=list(device.labels),
        capabilities=sorted(device.capabilities),
        kinds=list(device.kinds),
        firmware=firmware_object(board.firmware),
        free_pins=list(board.free_pins("output")),
        power_cut=_IN_FLASH if keeps_programs(device) else board.power_cut,
        voice_only=is_voice_only(device),
        link=None if state is None else dataclasses.asdict(state),
    )


def is_voice_only(device: Device) -> bool:
    """Whether it is spoken to and nothing else: a computer, or firmware of others without pins and programs for us."""
    if device.board.board_id == VOICE_BOARD.board_id:
        return True
    return bool(device.transports) and all(isinstance(one, XiaozhiTransport) for one in device.transports)


def pin_objects(board: BoardProfile, labels: Collection[str]) -> list[dict[str, Any]]:
    """Each pin of the board with what it can do; `name` says what is wired to it, null where nothing is.

    `labels` are the names that the device's labels give it. `refused` says why nothing may drive it, in the words of
    every refusal; null where a program may.
    """
    named = {} if board.led is None else {board.led.pin: "LED"}
    if board.i2c is not None:
        named |= {board.i2c.sda: "SDA", board.i2c.scl: "SCL"}
    labelled = labelled_pins(board, labels)
    return [
        {
            "pin": pin.number,
            "name": named.get(pin.number),
            "labels": sorted(name for name, number in labelled.items() if number == pin.number),
            "uses": sorted(pin.uses),
            "reserved": pin.reserved,
            "caution": pin.caution,
            "refused": refusal(board, pin.number, "output"),
        }
        for pin in sorted(board.pins.values(), key=lambda pin: pin.number)
    ]


def layout_object(board: BoardProfile) -> dict[str, Any] | None:
    """The headers as they lie on the board, each place with its print and its GPIO; null where that is not known."""
    return None if board.layout is None else dataclasses.asdict(board.layout)


async def pairing_objects(devices: LinkServer | None) -> list[dict[str, Any]]:
    """The devices that wait to be paired, the oldest first. Not their codes: a person must read those on the device."""
    return [] if devices is None else [dataclasses.asdict(one) for one in await devices.waiting()]


def keeps_programs(device: Device) -> bool:
    """Whether its programs go over the link, into its own flash."""
    transports = [transport for transport in device.transports if isinstance(transport, LinkTransport)]
    return any(AppInstall.method in transport.capabilities for transport in transports)


_IN_FLASH = "Programs put on it over the link are in its flash: after a power cut it starts them by itself."
