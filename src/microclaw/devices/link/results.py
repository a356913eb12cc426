"""The results of operations on devices: a device with its link, firmware and pins, its pairing, its Wi-Fi.

They fetch nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct

from microclaw.devices.link.meter import HandshakeEnd
from microclaw.devices.registry.examine import Examination, lines_of
from microclaw.errors import DeviceUnreachable
from microclaw.events import ProgramKind
from microclaw.hardware.boards.feature_status import OUR_FIRMWARE, STATES, VIRTUALS, families
from microclaw.hardware.boards.firmware import UpdateFacts, described_text
from microclaw.hardware.boards.profile import Layout, Led
from microclaw.host.auth.provisioning import Provision
from microclaw.host.operations.result import Listing, Result
from microclaw.text import count_text, format_duration, host_called, one_line

NEVER_REACHED = "never reached"
REVOKED = "revoked, until it is paired again"
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))


class DeviceLinkState(Struct, frozen=True):
    """The state of a device's link.

    `connections` counts since the host started. `rssi` in dBm and `refused_events`, which its full outbox refused, are
    of the device's last telemetry. `updates`: the updates that it accepts, None if it accepts none. `host`: the other
    host of the cluster that it is connected to. `handshake_end`: if it is not online, the newest connection since that
    ended in its TLS handshake: of its last address, else of any address.
    """

    # At this host, or at `host`.
    online: bool
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


class DeviceDetails(Result, frozen=True, kw_only=True):
    """A device. `capabilities` are the methods that it can be called with; `link` is None if it has no link here."""

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
    link: DeviceLinkState | None

    @property
    def labels_text(self) -> str:
        return ", ".join(self.labels)

    @property
    def labels_or_none(self) -> str:
        return self.labels_text or "no labels"

    @property
    def transports_text(self) -> str:
        return " ".join(self.transports)


class ListedDevice(DeviceDetails, frozen=True, kw_only=True):
    revoked: bool

    @property
    def connection(self) -> str:
        """The words "connected", the time of the last connection, "never reached", or that it is revoked."""
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
        for unit, length_s in _UNITS:
            if ago_s >= length_s:
                return f"seen {ago_s // length_s} {unit} ago"
        return f"seen {ago_s} s ago"


class PairingSummary(Struct, frozen=True):
    """A device that shows a code. The code itself is only on the device."""

    address: str
    board: str
    seconds_left: float

    @property
    def text(self) -> str:
        return (
            f"{self.board} at {self.address} shows a code, good for {self.seconds_left} s: microclaw device pair CODE"
        )


class DeviceList(Listing, frozen=True, kw_only=True):
    """A page of devices. `next`: if there are more, the `after` of the next request.

    `handshake_end` is the newest of the last minutes, of any device, because a board that never connected has no row.
    """

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
    pairings: list[PairingSummary]
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
    """A pin. `reserved`: why not to use it; `caution`: why to use it with care; `refused`: why nothing may drive it.

    `name` is the part that the board has wired to it, `labels` are its names in the device's labels.
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
    """A device in detail. `today`: the features of such boards; `layout` is None if the pins' places are unknown."""

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
        for title, text in self._facts():
            if text:
                yield f"{title:<12} {text}"
        if self.today is not None:
            yield from _today(self.name, **self.today)

    def _facts(self) -> Iterator[tuple[str, str | None]]:
        """Yield the titles and texts of the list. An empty text is left out."""
        version = None if self.link is None else self.link.firmware
        yield "name", self.name
        yield "device_id", self.device_id
        yield "title", self.title
        yield "chip", self.chip
        if self.revoked:
            yield "state", f"{REVOKED}: microclaw device pair CODE -d {self.name}"
        if self.never_reached:
            yield "state", f"{NEVER_REACHED}: microclaw device check {self.name}"
        yield "problem", self.problem
        for title in ("transports", "labels", "capabilities"):
            yield title, ", ".join(getattr(self, title)) or "-"
        yield "power cut", self.power_cut
        yield from _firmware(self, version)
        if self.link is not None:
            yield from self._link_facts(self.link)
        if self.telemetry:
            yield "telemetry", self._telemetry_text()
        if self.today is None and version is not None:
            yield "today", "this project has not tried its firmware"

    def _link_facts(self, link: DeviceLinkState) -> Iterator[tuple[str, str]]:
        yield "link", self.connection
        yield "address", link.address or "-"
        yield "version", link.firmware or "-"
        if link.handshake_end is not None:
            yield "no link", _handshake_text(link.handshake_end)
        if link.rtt_ms is not None:
            yield "round trip", f"{link.rtt_ms:.1f} ms"
        if link.updates is not None:
            yield "updates", _updates_text(link.updates)
        elif self.kinds == ["py"]:
            yield "updates", "only by cable: it has no key; microclaw flash --update-key FILE gives it one"

    def _telemetry_text(self) -> str:
        values = [f"{value.key} {round(value.value, 3):,} {value.unit}".strip() for value in self.telemetry]
        newest_ms = max(value.at_ms for value in self.telemetry)
        age_ms = max(0.0, time.time() * 1000 - newest_ms)
        over_time = f"over time: microclaw device telemetry {self.name}"
        return f"{', '.join(values)} ({format_duration(age_ms)} ago); {over_time}"


def _updates_text(updates: UpdateFacts) -> str:
    board = updates.board
    if updates.revision:
        board = f"{board} of revision {updates.revision}"
    way = f"over the link ({', '.join(updates.kinds)}), channel {updates.channel}, for {board}"
    return f"{way}, signed by {', '.join(updates.keys)}"


def _handshake_text(end: HandshakeEnd) -> str:
    ago = format_duration(max(0.0, time.time() * 1000 - end.at_ms))
    return f"a connection from {end.address} ended in its TLS handshake {ago} ago: {end.why}"


def _firmware(device: DeviceDetails, version: str | None) -> Iterator[tuple[str, str]]:
    """Yield the firmware's parts for programs, and their sizes. `version` is from the device's hello."""
    if device.voice_only:
        firmware_name = "xiaozhi's"
        if device.link is not None:
            firmware_name = one_line(version or "not seen yet")
        yield "firmware", f"{firmware_name}: it is spoken to, and runs no programs"
    elif device.kinds == ["py"]:
        yield from _python_firmware(device.firmware, version)
    else:
        yield from _wasm_firmware(device.firmware)


def _python_firmware(firmware: dict[str, Any], version: str | None) -> Iterator[tuple[str, str]]:
    if version is not None and version.startswith(f"{OUR_FIRMWARE} "):
        yield "firmware", "microclaw on MicroPython"
    else:
        yield "firmware", one_line(version or "-")
    program_kb = firmware["max_module_bytes"] // 1024
    yield "limits", f"{firmware['max_apps']} Python programs at once, {program_kb} KB each; they share the memory"


def _wasm_firmware(firmware: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "firmware", described_text(firmware["described"])
    yield "device files", ", ".join(firmware["nodes"]) or "-"
    natives = ", ".join([*firmware["native_groups"], *firmware["natives_added"]]) or "-"
    if firmware["natives_lacking"]:
        natives += f", without {', '.join(firmware['natives_lacking'])}"
    yield "natives", natives
    limits = [
        count_text(firmware["max_apps"], "app"),
        f"{firmware['max_module_bytes'] // 1024} KB a program",
        f"{firmware['max_memory_bytes'] // 1024} KB of memory",
    ]
    if firmware["max_heap_bytes"]:
        limits.append(f"{firmware['max_heap_bytes']} B of heap")
    if firmware["max_timers"]:
        limits.append(f"{firmware['max_timers']} timers")
    if not firmware["files"]:
        limits.append("no files")
    yield "limits", ", ".join(filter(None, limits))


def _today(name: str, family: str, hardware: list[str], findings: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the features that work on such a board, by state; docs/boards.md has the evidence of each."""
    yield f"today        {family} (docs/boards.md)"
    for state in STATES.values():
        features = [finding["feature"].replace("`", "") for finding in findings if finding["text"] == state]
        if features:
            yield f"  {state}: {'; '.join(features)}"
    if hardware:
        yield f"  on hardware: {'; '.join(hardware)}"
    elif family not in {families()[virtual].title for virtual in VIRTUALS}:
        yield f"  on hardware: nothing yet. Be the first: microclaw doctor --report -d {name} prints what to paste"


class AddedDevice(DeviceDetails, frozen=True, kw_only=True):
    """A device that was added. `check` is the result of connecting to its addresses, None if it has none."""

    check: Examination | None

    def lines(self) -> Iterable[str]:
        line = f"{self.name} ({self.title}): {self.transports_text}"
        described = self.firmware["described"]
        if described:
            line += f"; its firmware is {described_text(described)}"
        yield line
        if self.never_reached:
            yield f"it was added, and was {NEVER_REACHED}"
        if self.check is not None:
            findings = self.check.findings
            yield from lines_of(
                finding for finding in findings if finding.part in ("reach", "console") or not finding.ok
            )


class Provisioned(Result, frozen=True, kw_only=True):
    """The facts that a new device needs. `only_local`: the link is not open to the network."""

    document: ClassVar = "provision"

    name: str
    host: str
    port: int
    ca_sha256: str
    secret: str | None
    expires_ms: int | None
    only_local: bool

    @property
    def provision(self) -> Provision:
        """The provisioning, which has a text, a file and a QR code."""
        return Provision(self.host, self.port, self.ca_sha256, self.secret, self.expires_ms, self.name)

    def lines(self) -> Iterable[str]:
        yield self.provision.to_text()
        if self.only_local:
            yield "this host accepts only devices of this machine; for others: microclaw up --link 0.0.0.0:8443"
        if self.secret:
            yield "the secret is valid for one device, for 30 days"


class RevokedDevice(Result, frozen=True, kw_only=True):
    """A revoked device; `revoked` counts the credentials that were still valid."""

    document: ClassVar = "revoked"

    device: str
    revoked: int


class NotedDevice(Result, frozen=True, kw_only=True):
    document: ClassVar = "notify"

    device: str
    state: Literal["delivered", "waiting"]

    @property
    def news(self) -> str:
        if self.state == "delivered":
            return "has it"
        return "is not connected: it gets it when it comes back"


class WifiTrialFacts(Result, frozen=True, kw_only=True):
    """The trial of a network; `state` is trying, kept, failed or forgotten."""

    document: ClassVar = "wifi"

    device: str
    ssid: str
    state: str
    why: str | None
    seconds: int | None

    @property
    def exit_code(self) -> int:
        return int(self.state == "failed")

    def lines(self) -> Iterable[str]:
        if self.state == "kept":
            yield f"{self.device} knows {self.ssid}"
        elif self.state == "forgotten":
            yield f"{self.device} has forgotten {self.ssid}"
        else:
            yield f"{self.device} stays in its former Wi-Fi: {self.ssid}: {self.why}"


class WifiNetworks(Result, frozen=True, kw_only=True):
    """The networks of a device; `ssid` is the current one, `trial` the last trial of another one."""

    document: ClassVar = "wifi"

    device: str
    online: bool
    networks: list[str]
    ssid: str | None
    trial: WifiTrialFacts | None

    @property
    def exit_code(self) -> int:
        return 0 if self.online else DeviceUnreachable.exit_code

    def lines(self) -> Iterable[str]:
        if not self.online:
            yield f"{self.device} is not connected: switch it on, and ask again"
        for network in self.networks:
            if network == self.ssid:
                yield f"{network}  (connected)"
            else:
                yield network
        if self.trial is not None and self.trial.state == "failed":
            yield f"the last change failed: {self.trial.ssid}: {self.trial.why or 'no reason given'}"
