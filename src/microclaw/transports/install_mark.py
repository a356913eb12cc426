"""The file that says that an install is under way at an address, for the process after one that died. Sends nothing."""

from __future__ import annotations

from contextlib import suppress

from msgspec import DecodeError, Struct, structs
from msgspec.json import decode, encode

from microclaw.durable import replace_file
from microclaw.transports.address import AddressLock


class InterruptedInstall(Struct, frozen=True):
    """An install whose end the device may never have seen. `is_old`: a process before this one began it."""

    name: str
    frame_bytes: int
    delivered: bool = False
    is_old: bool = False


class InstallMark:
    """The file that says which install is under way at an address. Written and removed under the address lock."""

    def __init__(self, lock: AddressLock) -> None:
        self._path = lock.path.with_suffix(".install")

    @property
    def is_there(self) -> bool:
        return self._path.exists()

    def write(self, sent: InterruptedInstall) -> None:
        with suppress(OSError):  # a full disk must not keep a program from its board
            replace_file(self._path, encode(sent), sync=False)

    def read(self) -> InterruptedInstall | None:
        """The install of a process that died; None when there is none, or the file is not one of ours."""
        try:
            return structs.replace(
                decode(self._path.read_bytes(), type=InterruptedInstall), is_old=True, delivered=False
            )
        except (OSError, DecodeError, UnicodeDecodeError):
            self.clear()
            return None

    def clear(self) -> None:
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
