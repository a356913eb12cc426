"""A board's flash over many boots, with a power cut at any operation, and a host without a link."""

from __future__ import annotations

import hashlib
import json
import random
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, cast

from tests.firmware.ota_offers import NOW, manifest, packed, signer

from microclaw.hardware.boards.reader import load_board
from microclaw.hardware.firmware_modules import ota_check
from microclaw.virtual.board import Board as VirtualBoard
from microclaw.virtual.link_client.client import LinkClient
from microclaw.virtual.link_client.flash import Flash
from microclaw.virtual.link_client.state import LinkState
from microclaw.virtual.updates.slots import SlotFirmware, Slots
from microclaw.virtual.updates.trust import Trust
from microclaw.virtual.updates.updater import Updater
from microclaw.virtual.virtual_clock import VirtualClock
from microclaw.wire.link.actions import TakeBlob
from microclaw.wire.link.messages import BlobRead, Hello, OtaStatus, Software
from microclaw.wire.link.states import LinkPhase

NAME = "microclaw-virtual"
CHIP = "esp32s3"
PIECE_BYTES = 1008


class PowerCut(Exception):
    """The power is gone in the middle of an operation."""


@dataclass
class Cuts:
    """The power goes in the operation `at`, counted from 1, which a random part is done of; 0: never."""

    at: int = 0
    seed: int = 0
    done: int = 0

    def part(self, size: int) -> int | None:
        """None: the whole operation; else how much of it is done before the power goes."""
        self.done += 1
        if self.done != self.at:
            return None
        return random.Random(self.seed * 1000 + self.at).randint(0, size)


class CuttingFlash(Flash):
    def __init__(self, folder: Path, cuts: Cuts) -> None:
        super().__init__(folder)
        self._cuts = cuts

    def commit(self, changes: Mapping[str, Any]) -> None:
        part = self._cuts.part(1)
        if part != 0:
            super().commit(changes)
        if part is not None:
            raise PowerCut


class CuttingSlots(Slots):
    def __init__(self, root: Path, cuts: Cuts) -> None:
        super().__init__(root, SlotFirmware(NAME, "1.0.0", 0), CHIP, CuttingFlash(root, cuts))
        self._cuts = cuts

    def _write(self, path: Path, at: int, data: bytes) -> None:
        part = self._cuts.part(len(data))
        super()._write(path, at, data if part is None else data[:part])
        if part is not None:
            raise PowerCut

    def _remove(self, path: Path) -> None:
        part = self._cuts.part(1)
        if part != 0:
            super()._remove(path)
        if part is not None:
            raise PowerCut


@dataclass(frozen=True)
class Release:
    """An update as a host has it."""

    manifest: bytes
    signature: bytes
    payload: bytes
    version: str

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.payload).digest()


def release(version: str, *, fault: str = "", size: int = 20_000, extra: str = "more.mpy", **changes: Any) -> Release:
    """A signed update of about this size, with the file `extra` too."""
    security_version = int(changes.get("security_version", 3))
    about = {"name": NAME, "version": version, "security_version": security_version, "fault": fault}
    filler = random.Random(version).randbytes(size)
    payload = bundle({"about.json": json.dumps(about).encode(), "start.mpy": filler, extra: b"M\x06"})
    return of_payload(version, payload, **changes)


def of_payload(version: str, payload: bytes, **changes: Any) -> Release:
    sha256 = hashlib.sha256(payload).hexdigest()
    values = {"name": NAME, "kind": "files", "version": version, "sha256": sha256, "size": len(payload), **changes}
    data = packed(manifest(**values))
    return Release(data, signer().sign(data), payload, version)


def bundle(files: dict[str, bytes]) -> bytes:
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, BytesIO(content))
    data = out.getvalue().rstrip(b"\0")
    return data + bytes(-len(data) % 512) + bytes(1024)  # Python pads to 10,240


HELLO = Hello(bytes(16), Software(NAME, "1"), "virtual", (), bytes(8), 0, "power_on")


@dataclass
class Session:
    phase: LinkPhase = LinkPhase.READY
    opening: Hello = HELLO


@dataclass
class Host:
    """Stands for the board's LinkClient: the updater's messages, and the windows that it asks for."""

    statuses: list[tuple[str, str, float, str | None]] = field(default_factory=list)
    reads: list[BlobRead] = field(default_factory=list)
    wants_restart: bool = False
    now_s: float = 0.0
    session: Session = field(default_factory=Session)
    state: LinkState = field(default_factory=lambda: LinkState(device_id="d-1"))
    calendar: VirtualBoard = field(default_factory=lambda: VirtualBoard(load_board("virtual"), VirtualClock()))

    def __post_init__(self) -> None:
        self.calendar.set_calendar(ota_check.seconds(NOW) * 1000)

    @property
    def clock(self) -> Host:
        return self

    def now_ms(self) -> float:
        return self.now_s * 1000

    def send(self, message: BlobRead) -> None:
        self.reads.append(message)

    def keep_now(self, message: OtaStatus) -> None:
        self.statuses.append((message.version, message.state, message.progress, message.error))

    def leave(self, _code: int, _reason: str, _then: object) -> None:
        self.wants_restart = True

    @property
    def states(self) -> list[str]:
        """Without what is said twice or in quarters."""
        found: list[str] = []
        for _, state, _, _ in self.statuses:
            if found[-1:] != [state]:
                found.append(state)
        return found

    def last(self) -> tuple[str, str, str | None]:
        version, state, _, error = self.statuses[-1]
        return version, state, error


@dataclass
class Board:
    """The flash in `folder`, `boot` by `boot`."""

    folder: Path
    host: Host = field(default_factory=Host)
    cuts: Cuts = field(default_factory=Cuts)
    booted: list[str] = field(default_factory=list)
    given: bool = True
    slots: Slots | None = None

    def boot(self) -> Updater:
        """Start whatever the bootloader chooses; those that crash are started again."""
        firmware = self._start()
        self.host.wants_restart = False
        self.host.reads.clear()
        assert self.slots is not None
        updater = Updater(
            cast("LinkClient", self.host),
            self.host.calendar,
            self.slots,
            firmware,
            reset_reason="power_on",
            reboot=lambda: None,
        )
        updater.booted()
        return updater

    def _start(self) -> SlotFirmware:
        self.slots = CuttingSlots(self.folder, self.cuts)
        if self.given and self.slots.flash.get("trust") is None:
            trust = Trust(channel="stable", serial=1, keys={signer().key_id: signer().n})
            self.slots.flash.commit({"trust": trust})
        while True:
            firmware = self.slots.start()
            if not firmware.fault or self.slots.choice.kept:
                self.booted.append(firmware.version)
                return firmware

    def serve(self, updater: Updater, offered: Release) -> None:
        """Answer windows until there are none, in pieces as a host sends them."""
        while self.host.reads and not self.host.wants_restart:
            read = self.host.reads.pop(0)
            assert read.sha256 == offered.sha256
            data = offered.payload[read.offset : read.offset + read.length]
            for at in range(0, len(data), PIECE_BYTES):
                updater.take(TakeBlob(read.sha256[:8], read.offset + at, data[at : at + PIECE_BYTES]))

    def update(self, offered: Release) -> Updater:
        """Offer it once, and boot and serve through restarts and power cuts until the plan rests."""
        delivered = False
        while True:
            try:
                updater = self.boot()
                if self.host.wants_restart:
                    continue
                updater.ready()
                if not delivered:
                    updater.offered(offered.manifest, offered.signature)
                    delivered = True
                    updater.go_on()
                self.serve(updater, offered)
                if not self.host.wants_restart:
                    return updater
            except PowerCut:
                continue
