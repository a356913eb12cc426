"""The images that a person put into a folder, BOARD-VERSION.bin, and the checks before a device may have one.

A name is compared with what a device says of itself, never made of it: no path leaves the folder. It writes nothing.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from microclaw.errors import ConfigError
from microclaw.flash.chips import MB, chip_of_image
from microclaw.flash.image import Damage, app_description, image_end
from microclaw.store.xiaozhi import XiaozhiReportRow
from microclaw.wire.xiaozhi import is_newer, is_plain_version

MAX_FILES: Final = 10_000
MAX_IMAGE_BYTES: Final = 16 * MB
PROJECT: Final = "xiaozhi"
_ENDING: Final = ".bin"
_SEPARATORS: Final = ("-", "_")
_REMEDY: Final = "take the file xiaozhi.bin of the build for this board (docs/xiaozhi.md)"


@dataclass(frozen=True, slots=True)
class FirmwareImage:
    """A checked program of xiaozhi for one board, as it was read."""

    file: str
    version: str
    sha256: str
    data: bytes = field(repr=False)


def newest_image(folder: Path, report: XiaozhiReportRow) -> FirmwareImage | None:
    """The newest of this board that is newer than what it runs, checked; None without one. ConfigError says why not.

    A newest one that is wrong is told of, and no older one taken instead. Blocking.
    """
    if not report.version:
        raise ConfigError(
            "the version that this device reports is not of numbers and dots: nothing newer can be told from it",
            next_step="flash it by cable: docs/flash.md",
        )
    if not report.board:
        raise ConfigError("this device does not say which board it is", next_step="flash it by cable: docs/flash.md")
    newest: tuple[str, str] | None = None
    for name in _names(folder):
        version = _version_of(name, report.board)
        if version is not None and is_newer(version, report.version if newest is None else newest[0]):
            newest = version, name
    return None if newest is None else checked_image(folder, newest[1], newest[0], report)


def checked_image(folder: Path, name: str, version: str, report: XiaozhiReportRow) -> FirmwareImage:
    """Read one file of the folder, and check that it is a program for this device's chip and slot. Blocking."""
    data = _read(folder, name)
    try:
        chip_id, end = image_end(data, 0, "its program")
    except Damage as exc:
        raise ConfigError(f"{name} {exc}", next_step=_REMEDY) from exc
    chip = chip_of_image(chip_id)
    if chip.lower().replace("-", "") != report.chip:
        raise ConfigError(
            f"{name} is for the {chip}, and this device says {report.chip or 'nothing'}", next_step=_REMEDY
        )
    project, inside = app_description(data) or ("", "")
    if project != PROJECT or inside != version:
        raise ConfigError(
            f"{name} says of itself {project or 'nothing'} {inside}, not {PROJECT} {version}: after the update nobody "
            "could tell whether it runs",
            next_step="give the file the version that its build has (PROJECT_VER)",
        )
    if end != len(data):
        raise ConfigError(f"{name} has {len(data) - end:,} bytes behind its program: no update", next_step=_REMEDY)
    if report.slot_bytes is not None and end > report.slot_bytes:
        raise ConfigError(
            f"{name} has {end:,} bytes, and this device has room for {report.slot_bytes:,}",
            next_step="build it for a board with this flash",
        )
    if report.version.split(".")[0] in ("0", "1") and int(version.split(".")[0]) >= 2:
        raise ConfigError(
            f"xiaozhi {version} has other partitions than {report.version}: no update leads there",
            next_step="flash it by cable: docs/flash.md",
        )
    return FirmwareImage(name, version, hashlib.sha256(data).hexdigest(), data)


def _names(folder: Path) -> list[str]:
    """The regular files of the folder: no link, which could lead out of it."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry, _ in zip(entries, range(MAX_FILES + 1), strict=False) if _is_file(entry)]
    except OSError as exc:
        raise ConfigError(
            f"the folder voice.xiaozhi_firmware cannot be read: {exc.strerror}", next_step="check the folder's path"
        ) from exc
    if len(names) > MAX_FILES:
        raise ConfigError(f"voice.xiaozhi_firmware has more than {MAX_FILES:,} files", next_step="use its own folder")
    return names


def _is_file(entry: os.DirEntry[str]) -> bool:
    return entry.is_file(follow_symlinks=False)


def _version_of(name: str, board: str) -> str | None:
    """ "2.5.0" of "kitchen-board-2.5.0.bin"; None for a file of another board."""
    for separator in _SEPARATORS:
        if name.startswith(board + separator) and name.endswith(_ENDING):
            version = name[len(board) + 1 : -len(_ENDING)]
            if is_plain_version(version):
                return version
    return None


def _read(folder: Path, name: str) -> bytes:
    try:
        handle = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(handle, "rb") as file:
            data = file.read(MAX_IMAGE_BYTES + 1)
    except OSError as exc:
        raise ConfigError(f"cannot read {name}: {exc.strerror}", next_step="check the file") from exc
    if len(data) > MAX_IMAGE_BYTES:
        raise ConfigError(f"{name} has more than {MAX_IMAGE_BYTES // MB} MB", next_step=_REMEDY)
    return data
