"""Collects the facts of a device for the results of operations: its link, firmware and pins. Calls no device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from microclaw.conversion import convert
from microclaw.devices.link.results import DeviceDetails, LastValue, PairingSummary, PinFacts
from microclaw.devices.registry.calls import AppInstall
from microclaw.hardware.boards.firmware import firmware_object
from microclaw.hardware.boards.pins import refusal
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.boards.reader import VOICE
from microclaw.hardware.parts.wiring import Wiring
from microclaw.host.operations.result import filled
from microclaw.wire import xiaozhi

if TYPE_CHECKING:
    from microclaw.devices.link.server import LinkServer
    from microclaw.devices.registry.device import Device

_IN_FLASH = "Programs put on it over the link are in its flash: after a power cut it starts them by itself."

F = TypeVar("F", bound="DeviceDetails")


class LastValues:
    """The newest values of each device, from the rooms that keep some."""

    def __init__(self) -> None:
        self._sources: list[Callable[[str], Sequence[LastValue]]] = []

    def add(self, source: Callable[[str], Sequence[LastValue]]) -> None:
        """Add a source, which returns the values of a device by its id."""
        self._sources.append(source)

    def of(self, device_id: str) -> list[LastValue]:
        """Return the values of a device."""
        values = list[LastValue]()
        for source in self._sources:
            values += source(device_id)
        return values


def device_facts(device: Device, server: LinkServer | None, form: type[F], *, free_pins: list[int], **more: Any) -> F:
    """Fill a form with the facts of a device, and with `more`."""
    board = device.board
    keeps_programs = any(
        transport.connects_itself and AppInstall.method in transport.capabilities for transport in device.transports
    )
    power_cut = _IN_FLASH if keeps_programs else board.power_cut
    link = None if server is None else server.state(device)
    return filled(
        form,
        device,
        board=board.board_id,
        title=board.title,
        chip=board.chip,
        transports=list(device.endpoints),
        labels=list(device.labels),
        capabilities=sorted(device.capabilities),
        kinds=list(device.kinds),
        firmware=firmware_object(board.firmware),
        free_pins=free_pins,
        power_cut=power_cut,
        voice_only=is_voice_only(device),
        link=link,
        **more,
    )


def is_voice_only(device: Device) -> bool:
    """Return True if the host can only speak with it: a computer, or other firmware without pins and programs."""
    if device.board.board_id == VOICE:
        return True
    return bool(device.endpoints) and all(endpoint.startswith(xiaozhi.SCHEME) for endpoint in device.endpoints)


def pin_facts(board: BoardProfile, wiring: Wiring) -> list[PinFacts]:
    """Describe each pin of a board with this wiring, in the order of the numbers."""
    names = {}
    if board.led is not None:
        names[board.led.pin] = "LED"
    if board.i2c is not None:
        names[board.i2c.sda] = "SDA"
        names[board.i2c.scl] = "SCL"
    pins = []
    for pin in sorted(board.pins.values(), key=attrgetter("number")):
        facts = PinFacts(
            pin=pin.number,
            name=names.get(pin.number),
            labels=_names_on(wiring, pin.number),
            uses=sorted(pin.uses),
            reserved=pin.reserved,
            caution=pin.caution,
            refused=refusal(board, pin.number, "output"),
        )
        pins.append(facts)
    return pins


def _names_on(wiring: Wiring, gpio: int) -> list[str]:
    """Return what people call the parts on a GPIO."""
    return sorted(part.label or part.id for part in wiring.on_pin(gpio))


async def pending_pairings(server: LinkServer | None) -> list[PairingSummary]:
    """List the devices that wait to be paired, the oldest first."""
    if server is None:
        return []
    return convert(await server.identity.waiting(), list[PairingSummary], from_attributes=True)
