"""The firmware that the board starts: its two folders of files, the bundle on its way into one, the choice of a boot.

`factory` is the firmware that the virtual board is built with. What is chosen, planned and trusted is in a `Flash`: a
change is there as a whole or not at all, so that no cut can take the choice away.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final, NamedTuple

from microclaw.hardware.firmware_modules import ota_bad, ota_payload
from microclaw.virtual.link_client.flash import Flash

FACTORY: Final = "factory"
FOLDERS: Final = ("fw_a", "fw_b")
STARTS: Final = 3
"""So often a folder on trial is started; then the board goes back."""
ROOM_BYTES: Final = 1 << 20
"""The largest bundle: /storage of a real board holds it and its files."""
ABOUT: Final = "about.json"
_PAYLOAD: Final = "payload"


class SlotFirmware(NamedTuple):
    """A firmware in a folder: its identity by its own words. With a `fault` it crashes in its start."""

    name: str
    version: str
    security_version: int
    fault: str = ""


class Choice(NamedTuple):
    """The choice of a boot. `kept`: its starts are not counted; `went_back`: the plan has to hear it."""

    slot: str = FACTORY
    previous: str = FACTORY
    starts: int = 0
    kept: bool = True
    went_back: bool = False


class Slots:
    """One boot's hold on it; `factory` is what is built in, `board` what `hello.ota` says.

    A folder is firmware only while `flash` has the SHA-256 of all its names and contents. A power cut may interrupt a
    commit, `_write` and `_remove` and nothing else.
    """

    def __init__(self, root: Path, factory: SlotFirmware, board: str, flash: Flash | None = None) -> None:
        self.flash = flash or Flash(root)
        self.board = board
        self._root = root
        self._factory = factory

    # Starts

    @property
    def choice(self) -> Choice:
        return Choice(*self.flash.get("choice", ()))

    def start(self) -> SlotFirmware:
        """One start of the bootloader: counts it while on trial, goes back where that is over. `choice`: its slot."""
        choice = self.choice
        firmware = self.firmware(choice.slot)
        if firmware is None or (not choice.kept and choice.starts >= STARTS):
            firmware = self.firmware(choice.previous)
            choice = Choice(FACTORY if firmware is None else choice.previous, choice.slot, went_back=True)
        elif not choice.kept:
            choice = choice._replace(starts=choice.starts + 1)
        self._choose(choice)
        return firmware or self._factory

    def choose(self, slot: str) -> None:
        """For the next boot, on trial; the one that runs now is where it goes back to."""
        self._choose(Choice(slot, self.choice.slot, kept=False))

    def keep(self) -> None:
        """Count no more starts: the firmware that runs is healthy."""
        self._choose(self.choice._replace(kept=True))

    def seen(self) -> None:
        """Note that the plan knows where the board runs."""
        self._choose(self.choice._replace(went_back=False))

    def _choose(self, choice: Choice) -> None:
        if choice != self.choice:
            self.flash.commit({"choice": list(choice)})

    # Folders

    def unused(self) -> str:
        """Choose the slot for an update: neither the one that runs nor, if possible, the one that ran before."""
        choice = self.choice
        return min(FOLDERS, key=lambda name: (name == choice.slot, name == choice.previous))

    def place(self, slot: str) -> Path:
        """Return the folder of its files on the host computer."""
        return self._root / slot

    def firmware(self, slot: str) -> SlotFirmware | None:
        """Return the firmware in it; None if the bootloader would not start it."""
        if slot == FACTORY:
            return self._factory
        files = self._files(slot)
        if self.flash.get(slot) == _digest(files):
            return _about(files)
        return None

    def append(self, at: int, data: bytes) -> None:
        """Bytes of the bundle; what a cut left behind `at` is dropped."""
        there = len(self.payload())
        if there < at:
            raise OSError(f"the bundle has {there} bytes, not {at}")
        self._write(self._root / _PAYLOAD, at, data)

    def payload(self) -> bytes:
        path = self._root / _PAYLOAD
        if path.exists():
            return path.read_bytes()
        return b""

    def drop_payload(self) -> None:
        if (self._root / _PAYLOAD).exists():
            self._remove(self._root / _PAYLOAD)

    def install(self, slot: str, bundle: bytes) -> SlotFirmware:
        """Write the bundle's files into the folder, compare them, and return which firmware it is.

        Raises BadPayload or OSError if it is no firmware.
        """
        self.flash.commit({slot: None})
        for name in self._files(slot):
            self._remove(self._root / slot / name)
        files = read_bundle(bundle)
        for name, content in files.items():
            self._write(self._root / slot / name, 0, content)
        if self._files(slot) != files:
            raise OSError(f"the files in {slot} are not as they were written")
        found = _about(files)
        self.flash.commit({slot: _digest(files)})
        return found

    def _files(self, slot: str) -> dict[str, bytes]:
        folder = self._root / slot
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    def _write(self, path: Path, at: int, data: bytes) -> None:
        with self.flash.writing():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with path.open("r+b" if path.exists() else "x+b") as file:
                file.truncate(at)
                file.seek(at)
                file.write(data)

    def _remove(self, path: Path) -> None:
        with self.flash.writing():
            path.unlink()


def read_bundle(bundle: bytes) -> dict[str, bytes]:
    """Its files; BadPayload for what the contract does not allow."""
    tar = ota_payload.TarReader(len(bundle))
    at = 0
    files = {}
    while not tar.over:
        member = tar.member(bundle[at : at + ota_payload.BLOCK])
        at += ota_payload.BLOCK
        if member is not None:
            name, size = member
            files[name] = bundle[at : at + size]
            at += ota_payload.padded(size)
    return files


def _about(files: dict[str, bytes]) -> SlotFirmware:
    try:
        about: Any = json.loads(files[ABOUT])
        name = about["name"]
        version = about["version"]
        security_version = about["security_version"]
    except (KeyError, TypeError, ValueError, RecursionError) as exc:
        raise ota_bad.BadPayload("bad_bundle", f"{ABOUT} is missing or cannot be read") from exc
    if not isinstance(name, str) or not isinstance(version, str) or type(security_version) is not int:
        raise ota_bad.BadPayload("bad_bundle", f"{ABOUT} has other values than it should")
    return SlotFirmware(name, version, security_version, about.get("fault", ""))


def _digest(files: dict[str, bytes]) -> str:
    rows = [[name, hashlib.sha256(content).hexdigest()] for name, content in sorted(files.items())]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
