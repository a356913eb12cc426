"""The two folders of the firmware's files, and the bundle that is on its way into one of them.

A folder counts as firmware only with the file WHOLE, written last, which has the SHA-256 of all names and contents.
"""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from typing import Any, Final

from microclaw.firmware_modules import ota_bad, ota_payload
from microclaw.link_client.flash import PowerGone
from microclaw.virtual.updates.image import Firmware

ROOM_BYTES: Final = 1 << 20
"""The largest bundle: /storage of a real board holds it and its files."""
WHOLE: Final = "whole"
ABOUT: Final = "about.json"
_PAYLOAD: Final = "payload"


class Folders:
    """What is below `root`. A power cut may interrupt `_write` and `_remove` and nothing else."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._is_over = False

    def close(self) -> None:
        """The power is gone: nothing is written any more."""
        with self._lock:
            self._is_over = True

    def append(self, at: int, data: bytes) -> None:
        """Bytes of the bundle; what a cut left behind `at` is dropped."""
        path = self._root / _PAYLOAD
        there = path.read_bytes()[:at] if at else b""
        if len(there) != at:
            raise OSError(f"the bundle has {len(there)} bytes, not {at}")
        self._write(path, at, data)

    def payload(self) -> bytes:
        path = self._root / _PAYLOAD
        return path.read_bytes() if path.exists() else b""

    def drop_payload(self) -> None:
        if (self._root / _PAYLOAD).exists():
            self._remove(self._root / _PAYLOAD)

    def unpack(self, slot: str, bundle: bytes) -> Firmware:
        """The bundle's files go into the folder and are compared; who it is. It is no firmware after an error."""
        self._empty(slot)
        files = read_bundle(bundle)
        for name, content in files.items():
            path = self._root / slot / name
            self._write(path, 0, content)
            if path.read_bytes() != content:
                raise OSError(f"{name} is not as it was written")
        found = _about(files)
        self._write(self._root / slot / WHOLE, 0, _digest(files).encode())
        return found

    def firmware(self, slot: str) -> Firmware | None:
        """Who it is; None where the folder is not whole."""
        folder = self._root / slot
        if not (folder / WHOLE).is_file():
            return None
        paths = [path for path in folder.rglob("*") if path.is_file() and path != folder / WHOLE]
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        if (folder / WHOLE).read_bytes() != _digest(files).encode():
            return None
        return _about(files)

    def place(self, slot: str) -> Path:
        """Where the files of the folder are on the host computer."""
        return self._root / slot

    def _empty(self, slot: str) -> None:
        """Take the files away, first the one that says that they are whole."""
        folder = self._root / slot
        if (folder / WHOLE).exists():
            self._remove(folder / WHOLE)
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self._remove(path)

    # What a power cut may interrupt

    def _write(self, path: Path, at: int, data: bytes) -> None:
        with self._lock:
            self._check_power()
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with path.open("r+b" if path.exists() else "x+b") as file:
                file.truncate(at)
                file.seek(at)
                file.write(data)

    def _remove(self, path: Path) -> None:
        with self._lock:
            self._check_power()
            path.unlink()

    def _check_power(self) -> None:
        if self._is_over:
            raise PowerGone("the board has no power")


def read_bundle(bundle: bytes) -> dict[str, bytes]:
    """Its files; BadPayload for what the contract does not allow."""
    tar, at, files = ota_payload.TarReader(len(bundle)), 0, {}
    while not tar.over:
        member = tar.member(bundle[at : at + ota_payload.BLOCK])
        at += ota_payload.BLOCK
        if member is not None:
            name, size = member
            files[name] = bundle[at : at + size]
            at += ota_payload.padded(size)
    if WHOLE in files:
        raise ota_bad.BadPayload("bad_bundle", f"{WHOLE} is the board's own file")
    return files


def _about(files: dict[str, bytes]) -> Firmware:
    try:
        about: Any = json.loads(files[ABOUT])
        name, version, security_version = about["name"], about["version"], about["security_version"]
    except (KeyError, TypeError, ValueError, RecursionError) as exc:
        raise ota_bad.BadPayload("bad_bundle", f"{ABOUT} is missing or cannot be read") from exc
    if not isinstance(name, str) or not isinstance(version, str) or type(security_version) is not int:
        raise ota_bad.BadPayload("bad_bundle", f"{ABOUT} has other values than it should")
    return Firmware(name, version, security_version, about.get("fault", ""))


def _digest(files: dict[str, bytes]) -> str:
    rows = [[name, hashlib.sha256(content).hexdigest()] for name, content in sorted(files.items())]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
