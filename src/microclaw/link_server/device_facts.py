"""The results of acts on devices: a device with its link, firmware and pins. It asks no device."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

from msgspec import Meta, Struct, convert

from microclaw.boards.firmware import UpdateFacts, described_text, firmware_object
from microclaw.boards.pins import labelled_pins, refusal
from microclaw.boards.profile import BoardProfile, Layout, Led
from microclaw.boards.reader import VOICE
from microclaw.boards.today import OUR_FIRMWARE, STATES, VIRTUALS, families
from microclaw.devices.calls import AppInstall
from microclaw.devices.examine import Examination, lines_of
from microclaw.events import ProgramKind
from microclaw.link_server.meter import HandshakeEnd
from microclaw.operations.result import Listing, Result, filled
from microclaw.text import count_text, format_duration, host_called, one_line
from microclaw.wire import xiaozhi

if TYPE_CHECKING:
    from microclaw.devices.device import Device
    from microclaw.link_server.server import LinkServer

NEVER_REACHED = "never reached"
REVOKED = "revoked, until it is paired again"
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))
_IN_FLASH = "Programs put on it over the link are in its flash: after a power cut it starts them by itself."

F = TypeVar("F", bound="DeviceFacts")


class LinkState(Struct, frozen=True):
    """The state of a device's link. Since the host started: `connections`; of the device's last telemetry: `rssi`
    in dBm, `refused_events` that its full outbox did not take. `updates`: what it takes, None where it takes none.
    `host`: the other host of the cluster that it is connected to. `handshake_end`: if it is not online, the newest
    connection that ended in its TLS handshake since: of its last address, else of any."""

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
    handshake_end: HandshakeEnd | None = None


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
            if link.host is None:
                return "connected"
            return f"connected to {host_called(link.host)}"
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
    """`next`: where there are more, the `after` of the next request. `handshake_end`: the newest of the last minutes,
    of whatever device: a board that never got in has no row."""

    document: ClassVar = "devices"
    columns: ClassVar = {
        "NAME": "name",
        "BOARD": "board",
        "LABELS": "labels_text",
        "LINK": "connection",
        "TRANSPORTS": "transports_text",
    }
    empty: ClassVar = "no devices yet. microclaw device add NAME --wasmachine HOST:PORT, or microclaw up --virtual 1"
    row_device: ClassVar = "name"

    devices: list[ListedDevice]
    next: str | None
    pairings: list[PendingPairing]
    handshake_end: HandshakeEnd | None

    @property
    def is_foreign(self) -> bool:
        # A stranger names its own board.
        return bool(self.pairings)

    @property
    def note(self) -> str:
        lines = [pairing.text for pairing in self.pairings]
        if self.handshake_end is not None:
            lines.append(_handshake_text(self.handshake_end))
        return "\n".join(lines)


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
    led: Led | None
    problem: str | None
    telemetry: list[LastValue]

    @property
    def is_foreign(self) -> bool:
        return self.problem is not None

    def lines(self) -> Iterable[str]:
        yield from (f"{title:<12} {text}" for title, text in self._facts() if text)
        if self.today is not None:
            yield from _today(self.name, **self.today)

    def _facts(self) -> Iterator[tuple[str, str | None]]:
        link = self.link
        told = None if link is None else link.firmware
        yield from (("name", self.name), ("device_id", self.device_id), ("title", self.title), ("chip", self.chip))
        if self.revoked:
            yield "state", f"{REVOKED}: microclaw device pair CODE -d {self.name}"
        if self.never_reached:
            yield "state", f"{NEVER_REACHED}: microclaw device check {self.name}"
        yield "problem", self.problem
        for title in ("transports", "labels", "capabilities"):
            yield title, ", ".join(getattr(self, title)) or "-"
        yield "power cut", self.power_cut
        yield from _firmware(self, told)
        if link is not None:
            yield from (("link", self.connection), ("address", link.address or "-"), ("version", told or "-"))
            yield "no link", None if link.handshake_end is None else _handshake_text(link.handshake_end)
            yield "round trip", None if link.rtt_ms is None else f"{link.rtt_ms:.1f} ms"
            facts = link.updates
            if facts is not None:
                if facts.revision:
                    board = f"{facts.board} of revision {facts.revision}"
                else:
                    board = facts.board
                how = f"over the link ({', '.join(facts.kinds)}), channel {facts.channel}, for {board}"
                yield "updates", f"{how}, signed by {', '.join(facts.keys)}"
            elif self.kinds == ["py"]:
                yield "updates", "by cable alone: it has no key; microclaw flash --update-key FILE gives it one"
        if self.telemetry:
            values = (f"{one.key} {round(one.value, 3):,} {one.unit}".strip() for one in self.telemetry)
            age_ms = max(0.0, time.time() * 1000 - max(one.at_ms for one in self.telemetry))
            over_time = f"over time: microclaw device telemetry {self.name}"
            yield "telemetry", f"{', '.join(values)} ({format_duration(age_ms)} ago); {over_time}"
        if self.today is None and told is not None:
            yield "today", "its firmware is not one that this project tried"


def _handshake_text(end: HandshakeEnd) -> str:
    ago = format_duration(max(0.0, time.time() * 1000 - end.at_ms))
    return f"a connection from {end.address} ended in its TLS handshake {ago} ago: {end.why}"


def _firmware(device: DeviceFacts, told: str | None) -> Iterator[tuple[str, str]]:
    """Yield its parts for programs, and their sizes. `told`: what its link said of it."""
    has = device.firmware
    kb = has["max_module_bytes"] // 1024
    if device.voice_only:
        if device.link is None:
            whose = "xiaozhi's"
        else:
            whose = one_line(told or "not seen yet")
        yield "firmware", f"{whose}: it is spoken to, and runs no programs"
    elif device.kinds == ["py"]:
        is_ours = told is not None and told.startswith(f"{OUR_FIRMWARE} ")
        yield "firmware", "microclaw on MicroPython" if is_ours else one_line(told or "-")
        yield "limits", f"{has['max_apps']} Python programs at once, {kb} KB each; they share the memory"
    else:
        yield "firmware", described_text(has["described"])
        yield "device files", ", ".join(has["nodes"]) or "-"
        if has["natives_lacking"]:
            lacking = f", without {', '.join(has['natives_lacking'])}"
        else:
            lacking = ""
        yield "natives", f"{', '.join([*has['native_groups'], *has['natives_added']]) or '-'}{lacking}"
        limits = (
            count_text(has["max_apps"], "app"),
            f"{kb} KB a program",
            f"{has['max_memory_bytes'] // 1024} KB of memory",
            has["max_heap_bytes"] and f"{has['max_heap_bytes']} B of heap",
            has["max_timers"] and f"{has['max_timers']} timers",
            "" if has["files"] else "no files",
        )
        yield "limits", ", ".join(filter(None, limits))


def _today(name: str, family: str, hardware: list[str], findings: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the features that work on such a board, by state; docs/boards.md has the evidence of each."""
    yield f"today        {family} (docs/boards.md)"
    for text in STATES.values():
        found = [one["feature"].replace("`", "") for one in findings if one["text"] == text]
        if found:
            yield f"  {text}: {'; '.join(found)}"
    if hardware:
        yield f"  on hardware: {'; '.join(hardware)}"
    elif family not in {families()[one].title for one in VIRTUALS}:
        yield f"  on hardware: nothing yet. Be the first: microclaw doctor --report -d {name} prints what to paste"


class AddedDevice(DeviceFacts, frozen=True, kw_only=True):
    """`check`: whether it is reached by its addresses; None where none came."""

    check: Examination | None

    def lines(self) -> Iterable[str]:
        described = self.firmware["described"]
        if described:
            about = f"; its firmware is {described_text(described)}"
        else:
            about = ""
        yield f"{self.name} ({self.title}): {self.transports_text}{about}"
        if self.never_reached:
            yield f"it is kept, and was {NEVER_REACHED}"
        if self.check is not None:
            yield from lines_of(one for one in self.check.findings if one.part in ("reach", "console") or not one.ok)


def device_facts(device: Device, server: LinkServer | None, form: type[F], **more: Any) -> F:
    board = device.board
    in_flash = any(one.connects_itself and AppInstall.method in one.capabilities for one in device.transports)
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
        power_cut=_IN_FLASH if in_flash else board.power_cut,
        voice_only=is_voice_only(device),
        link=None if server is None else server.state(device),
        **more,
    )


def is_voice_only(device: Device) -> bool:
    """True if it is spoken to and nothing else: a computer, or firmware of others without pins and programs for us."""
    if device.board.board_id == VOICE:
        return True
    return bool(device.endpoints) and all(one.startswith(xiaozhi.SCHEME) for one in device.endpoints)


def pin_facts(board: BoardProfile, labels: Collection[str]) -> list[PinFacts]:
    """Each pin of the board with what it can do."""
    if board.led is None:
        named = {}
    else:
        named = {board.led.pin: "LED"}
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
    if server is None:
        return []
    return convert(await server.identity.waiting(), list[PendingPairing], from_attributes=True)
