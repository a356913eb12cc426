"""Which firmware the board starts: its slots, who is in them, and the record by which it chooses, counts and goes back.

`factory` is the firmware that the virtual board is built with. The record lies in the two sectors of otadata, newest
first; what changes within one boot only clears bits of it, so that no cut can take the choice away.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from struct import Struct
from typing import Final, Literal, NamedTuple, TypeAlias

from microclaw.firmware_modules import ota_bad
from microclaw.virtual.updates.chip import LAYOUT, SECTOR_BYTES, FlashChip, Records
from microclaw.virtual.updates.folders import ROOM_BYTES, Folders
from microclaw.virtual.updates.image import Firmware, read_image

Kind: TypeAlias = Literal["files", "image"]
FACTORY: Final = "factory"
SLOTS: Final[dict[Kind, tuple[str, str]]] = {"image": ("ota_0", "ota_1"), "files": ("fw_a", "fw_b")}
NAMES: Final = (FACTORY, *SLOTS["image"], *SLOTS["files"])
STARTS: Final = 3
"""So often a slot on trial is started; then the board goes back."""
_DATA: Final = "otadata"
_ENTRY: Final = Struct(">4sIBBBxI")  # mark, number, slot, previous slot, whether it went back, CRC-32 of those
_MARK: Final = b"MCSL"
_STARTS_AT: Final = 16  # a bit is cleared for each start on trial
_KEPT_AT: Final = 17  # 0: starts are not counted any more
_SEEN_AT: Final = 18  # 0: the plan knows that the board went back


class Entry(NamedTuple):
    """The choice as it stands. `sector` is where it lies."""

    number: int
    sector: int
    slot: str
    previous: str
    went_back: bool
    starts: int
    kept: bool
    seen: bool


class Start(NamedTuple):
    """What a boot starts. `went_back`: from another slot, and the plan does not know it yet."""

    slot: str
    firmware: Firmware
    went_back: bool
    kept: bool


class Slots:
    """One boot's hold on the flash for updates; `factory` is what is built in, `board` what `hello.ota` says."""

    def __init__(
        self,
        folder: Path,
        factory: Firmware,
        board: str,
        *,
        chip: FlashChip | None = None,
        folders: Folders | None = None,
    ) -> None:
        self.chip = chip or FlashChip(folder / "flash.bin", LAYOUT)
        self.folders = folders or Folders(folder)
        self.board = board
        self._factory = factory
        self.plan = Records(self.chip, "plan")
        self.keys = Records(self.chip, "keys")

    def close(self) -> None:
        """The power is gone: what still runs of this boot changes nothing any more."""
        self.chip.close()
        self.folders.close()

    # Starts

    def start(self) -> Start:
        """One start of the bootloader: counts it while the slot is on trial, and goes back where that is over."""
        entry = self._entry()
        if entry is None:
            return Start(FACTORY, self._factory, went_back=False, kept=True)
        firmware = self.firmware(entry.slot)
        if firmware is None or (not entry.kept and entry.starts >= STARTS):
            entry, firmware = self._go_back(entry)
        if not entry.kept:
            counted = 0xFF << (entry.starts + 1) & 0xFF
            self.chip.write(_DATA, entry.sector * SECTOR_BYTES + _STARTS_AT, bytes([counted]))
        return Start(entry.slot, firmware, entry.went_back and not entry.seen, entry.kept)

    def choose(self, slot: str) -> None:
        """For the next boot, on trial; the one that runs now is where it goes back to."""
        entry = self._entry()
        self._write(entry, slot, FACTORY if entry is None else entry.slot, went_back=False)

    def keep(self) -> None:
        """The slot that runs is healthy: its starts are not counted any more."""
        self._clear(_KEPT_AT)

    def seen(self) -> None:
        """The plan knows where the board runs."""
        self._clear(_SEEN_AT)

    # Slots

    def unused(self, kind: Kind) -> str:
        """Where an update goes: neither what runs nor, if that is possible, what ran before."""
        entry = self._entry()
        used = () if entry is None else (entry.slot, entry.previous)
        first, second = SLOTS[kind]
        if first in used and second in used:
            return second if entry is not None and entry.slot == first else first
        return second if first in used else first

    def firmware(self, slot: str) -> Firmware | None:
        """Who is in it; None where the bootloader would not start it."""
        if slot == FACTORY:
            return self._factory
        try:
            if slot in SLOTS["files"]:
                return self.folders.firmware(slot)
            return read_image(self.chip.read(slot, 0, self.chip.size(slot)), self.board)[0]
        except ota_bad.BadPayload:
            return None

    def table(self) -> list[tuple[str, Firmware | None, bool]]:
        """Each slot, who is in it, and whether the next boot starts it."""
        entry = self._entry()
        chosen = FACTORY if entry is None else entry.slot
        return [(name, self.firmware(name), name == chosen) for name in NAMES]

    def room(self, kind: Kind) -> int:
        return ROOM_BYTES if kind == "files" else self.chip.size(SLOTS["image"][0])

    # Payloads

    def store(self, kind: Kind, slot: str, at: int, data: bytes) -> None:
        """A window of the payload, at whole sectors."""
        if kind == "files":
            self.folders.append(at, data)
            return
        whole = (len(data) + SECTOR_BYTES - 1) // SECTOR_BYTES * SECTOR_BYTES
        self.chip.erase(slot, at, min(whole, self.chip.size(slot) - at))
        self.chip.write(slot, at, data)

    def stored(self, kind: Kind, slot: str, size: int) -> bytes:
        """The payload as it is in flash."""
        return self.folders.payload() if kind == "files" else self.chip.read(slot, 0, size)

    def install(self, kind: Kind, slot: str, payload: bytes) -> Firmware:
        """A payload whose SHA-256 is right becomes what can be started. BadPayload, OSError."""
        if kind == "files":
            return self.folders.unpack(slot, payload)
        firmware, size = read_image(payload, self.board)
        if size != len(payload):
            raise ota_bad.BadPayload("wrong_size", f"the image has {size} bytes")
        return firmware

    # The record

    def _go_back(self, entry: Entry) -> tuple[Entry, Firmware]:
        previous = self.firmware(entry.previous)
        slot = FACTORY if previous is None else entry.previous
        self._write(entry, slot, entry.slot, went_back=True)
        now = self._entry()
        assert now is not None
        return now, previous or self._factory

    def _write(self, newest: Entry | None, slot: str, previous: str, *, went_back: bool) -> None:
        number, sector = (1, 0) if newest is None else (newest.number + 1, 1 - newest.sector)
        facts = (_MARK, number, NAMES.index(slot), NAMES.index(previous), went_back)
        self.chip.erase(_DATA, sector * SECTOR_BYTES, SECTOR_BYTES)
        self.chip.write(_DATA, sector * SECTOR_BYTES, _ENTRY.pack(*facts, zlib.crc32(repr(facts).encode())))

    def _clear(self, at: int) -> None:
        entry = self._entry()
        if entry is not None and self.chip.read(_DATA, entry.sector * SECTOR_BYTES + at, 1) != b"\x00":
            self.chip.write(_DATA, entry.sector * SECTOR_BYTES + at, b"\x00")

    def _entry(self) -> Entry | None:
        found = [entry for entry in (self._read(0), self._read(1)) if entry is not None]
        return max(found, key=lambda entry: entry.number, default=None)

    def _read(self, sector: int) -> Entry | None:
        data = self.chip.read(_DATA, sector * SECTOR_BYTES, _SEEN_AT + 1)
        *facts, crc = _ENTRY.unpack_from(data)
        mark, number, slot, previous, went_back = facts
        if mark != _MARK or crc != zlib.crc32(repr((mark, number, slot, previous, bool(went_back))).encode()):
            return None
        starts = (~data[_STARTS_AT] & 0xFF).bit_count()
        kept = bool(went_back) or data[_KEPT_AT] == 0
        return Entry(number, sector, NAMES[slot], NAMES[previous], bool(went_back), starts, kept, data[_SEEN_AT] == 0)
