"""The results of acts on devices: a device with its link, firmware and pins. It asks no device."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

from msgspec import Meta, Struct, convert

from microclaw.boards.firmware import firmware_object
from microclaw.boards.pins import labelled_pins, refusal
from microclaw.boards.profile import BoardProfile, Layout
from microclaw.boards.voice import VOICE_BOARD
from microclaw.devices.calls import AppInstall
from microclaw.events import ProgramKind
from microclaw.operations.result import Listing, Result, filled
from microclaw.store.link_events import UpdateFacts
from microclaw.text import host_called
from microclaw.wire import xiaozhi

if TYPE_CHECKING:
    from microclaw.devices.device import Device
    from microclaw.link_server.server import LinkServer

NEVER_REACHED = "never reached"
REVOKED = "revoked, until it is paired again"
LINK = "link:"
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))
_IN_FLASH = "Programs put on it over the link are in its flash: after a power cut it starts them by itself."

F = TypeVar("F", bound="DeviceFacts")


@dataclass(frozen=True, slots=True)
class LinkState:
    """What is known of a device's link. Since the host started: `connections`; of the device's last telemetry: `rssi`
    in dBm, `refused_events` that its full outbox did not take. `updates`: what it takes, None where it takes none.
    `host`: the other host of the cluster that it is connected to."""

    online: bool  # here, or at the host `host` of the cluster
    last_seen_ms: int | None
    address: str | None
    firmware: str | None
    rtt_ms: float | None
    connections: int = 0
    rssi: int | None = None
    refused_events: int | None = None
    updates: UpdateFacts | None = None
    host: str | None = None


class DeviceFacts(Result, frozen=True, kw_only=True):
    """`capabilities` are the methods that it can be called with; `link` is None where it has none to this host."""

    document: ClassVar = "device"

    device_id: str
    name: str
    board: str
    title: str
    chip: str
    transports: list[str]
    labels: list[str]
    capabilities: list[str]
    kinds: list[ProgramKind]
    firmware: Annotated[dict[str, Any], Meta(description="Described by a person, or of the board's profile")]
    free_pins: list[int]
    power_cut: str
    voice_only: bool
    never_reached: bool
    link: LinkState | None

    @property
    def labels_text(self) -> str:
        return ", ".join(self.labels)

    @property
    def transports_text(self) -> str:
        return " ".join(self.transports)


class ListedDevice(DeviceFacts, frozen=True, kw_only=True):
    revoked: bool

    @property
    def connection(self) -> str:
        """ "connected", the time of the last connection, that it was never reached, or is revoked."""
        link = self.link
        if self.revoked:
            return REVOKED
        if self.never_reached:
            return NEVER_REACHED
        if link is None:
            return "-"
        if link.online:
            return "connected" if link.host is None else f"connected to {host_called(link.host)}"
        if link.last_seen_ms is None:
            return "never seen"
        ago_s = max(0, int(time.time() - link.last_seen_ms / 1000))
        unit, length_s = next((one for one in _UNITS if ago_s >= one[1]), ("s", 1))
        return f"seen {ago_s // length_s} {unit} ago"


class PendingPairing(Struct, frozen=True):
    """A device that shows a code; the code is the device's to show."""

    address: str
    board: str
    seconds_left: float

    @property
    def text(self) -> str:
        return (
            f"{self.board} at {self.address} shows a code, good for {self.seconds_left} s: microclaw device pair CODE"
        )


class DeviceList(Listing, frozen=True, kw_only=True):
    """`next`: where there are more, the `after` of the next request."""

    document: ClassVar = "devices"
    columns: ClassVar = {
        "NAME": "name",
        "BOARD": "board",
        "LABELS": "labels_text",
        "LINK": "connection",
        "TRANSPORTS": "transports_text",
    }
    empty: ClassVar = "no devices yet. microclaw device add NAME --wasmachine HOST:PORT, or microclaw up --virtual 1"

    devices: list[ListedDevice]
    next: str | None
    pairings: list[PendingPairing]

    @property
    def note(self) -> str:
        return "\n".join(one.text for one in self.pairings)


class PinFacts(Struct, frozen=True, kw_only=True):
    """`reserved` and `caution` say why a pin is not to be used, or with care; `refused` why nothing may drive it.

    `name` is what the board has wired to it, `labels` are the names that the device's labels give it.
    """

    pin: int
    name: str | None
    labels: list[str]
    uses: list[str]
    reserved: str | None
    caution: str | None
    refused: str | None


class LastValue(Struct, frozen=True, kw_only=True):
    key: str
    unit: str
    value: float
    at_ms: int


class OneDevice(ListedDevice, frozen=True, kw_only=True):
    """`today`: what works on such boards; `layout` is None where it is not known how the pins lie."""

    today: dict[str, Any] | None
    pins: list[PinFacts]
    layout: Layout | None
    problem: str | None
    telemetry: list[LastValue]


def device_facts(device: Device, server: LinkServer | None, form: type[F], **more: Any) -> F:
    board = device.board
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
        free_pins=list(board.free_pins("output")),
        power_cut=_IN_FLASH if _keeps_programs(device) else board.power_cut,
        voice_only=is_voice_only(device),
        link=None if server is None else server.state(device),
        **more,
    )


def is_voice_only(device: Device) -> bool:
    """Whether it is spoken to and nothing else: a computer, or firmware of others without pins and programs for us."""
    if device.board.board_id == VOICE_BOARD.board_id:
        return True
    return bool(device.endpoints) and all(one.startswith(xiaozhi.SCHEME) for one in device.endpoints)


def _keeps_programs(device: Device) -> bool:
    """Whether its programs go over the link, into its own flash."""
    return any(one.endpoint.startswith(LINK) and AppInstall.method in one.capabilities for one in device.transports)


def pin_facts(board: BoardProfile, labels: Collection[str]) -> list[PinFacts]:
    """Each pin of the board with what it can do."""
    named = {} if board.led is None else {board.led.pin: "LED"}
    if board.i2c is not None:
        named |= {board.i2c.sda: "SDA", board.i2c.scl: "SCL"}
    labelled = labelled_pins(board, labels)
    return [
        PinFacts(
            pin=pin.number,
            name=named.get(pin.number),
            labels=sorted(name for name, number in labelled.items() if number == pin.number),
            uses=sorted(pin.uses),
            reserved=pin.reserved,
            caution=pin.caution,
            refused=refusal(board, pin.number, "output"),
        )
        for pin in sorted(board.pins.values(), key=lambda pin: pin.number)
    ]


async def pending_pairings(server: LinkServer | None) -> list[PendingPairing]:
    """The devices that wait to be paired, the oldest first."""
    return [] if server is None else convert(await server.waiting(), list[PendingPairing], from_attributes=True)
