"""Payloads of releases, checked before they are signed and published: bundles of our files, application images.

A bundle is POSIX ustar, the same bytes for the same files. It has the files for the unused one of /fw_a and /fw_b,
and about.json, from which the firmware reads its version. An image is for one of two slots, in ESP-IDF's "App Image
Format" (esp_app_format.h, esp_app_desc.h): header, segments, checksum, SHA-256.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from typing import Final

from microclaw.devices.flash.board_files import FOLDER, our_files
from microclaw.devices.ota.manifest import CHIPS, MAX_PAYLOAD_BYTES, SMALL, Release, check_version
from microclaw.errors import ConfigError
from microclaw.hardware.firmware_folder import firmware_folder
from microclaw.hardware.firmware_modules import ota_bad, ota_payload
from microclaw.wire.esp32_image import HASH_FLAG_AT, Damage, ImageDescription, app_description, image_end

ABOUT: Final = "about.json"
CHIP_IDS: Final = dict(zip(CHIPS, (0, 2, 9, 5, 13), strict=True))
"""esp_chip_id_t of ESP-IDF."""
_MAX_ABOUT_BYTES: Final = 1_024
_OF_THE_BOARD: Final = "whole"
"""The file by which a board knows that a folder is complete: no bundle has one."""


class PayloadError(ConfigError):
    """A payload that no board would unpack, or that no slot of its chip could hold and start."""

    def __init__(self, text: str) -> None:
        step = (
            "a bundle: microclaw firmware publish --version V --board B; an image: only the application, "
            "build/NAME.bin of ESP-IDF, micropython.bin of MicroPython"
        )
        super().__init__(f"the payload {text}", next_step=step)


async def own_files(board: str, *, name: str, version: str, security_version: int) -> dict[str, bytes]:
    """Build this installation's files for boards as `microclaw flash` does, and about.json. Raises BuildError."""
    check_version(version)
    built = await our_files(firmware_folder(), with_psram=not board.endswith(SMALL))
    files = {}
    for file in built:
        if file.path.startswith(f"{FOLDER}/"):
            files[file.path.removeprefix(f"{FOLDER}/")] = file.data
    about = {"name": name, "version": version, "security_version": security_version}
    files[ABOUT] = json.dumps(about, separators=(",", ":")).encode()
    return files


def pack(files: Mapping[str, bytes]) -> bytes:
    """Pack the files as a tar: sorted by name, without times, owners and padding beyond the two last blocks."""
    parts: list[bytes] = []
    for name in sorted(files):
        info = tarfile.TarInfo(name)
        info.size = len(files[name])
        info.mode = 0o644
        try:
            parts.append(info.tobuf(tarfile.USTAR_FORMAT))
        except ValueError as exc:
            raise PayloadError(f"cannot have a file of the name {name[:80]!r}") from exc
        parts += (files[name], bytes(-len(files[name]) % ota_payload.BLOCK))
    data = b"".join(parts) + bytes(2 * ota_payload.BLOCK)
    if len(data) > MAX_PAYLOAD_BYTES:
        raise PayloadError(f"has {len(data)} bytes, more than a board takes")
    unpack(data)
    return data


def unpack(data: bytes) -> dict[str, bytes]:
    """Return the files of a bundle, read by the boards' own code. Raises PayloadError if a board would refuse it."""
    files: dict[str, bytes] = {}
    position = 0
    try:
        tar = ota_payload.TarReader(len(data))
        while not tar.over:
            member = tar.member(data[position : position + ota_payload.BLOCK])
            position += ota_payload.BLOCK
            if member is not None:
                name, size = member
                files[name] = data[position : position + size]
                position += ota_payload.padded(size)
    except ota_bad.BadPayload as exc:
        raise PayloadError(f"is refused by boards: {exc.words}") from exc
    return files


def check_bundle(data: bytes, release: Release) -> None:
    """Raise PayloadError unless the bundle has the name and version of its manifest, and only files for a board."""
    files = unpack(data)
    expected = (release.name, release.version, release.security_version)
    try:
        about = json.loads(files[ABOUT][:_MAX_ABOUT_BYTES])
        actual = (about["name"], about["version"], about["security_version"])
    except (KeyError, TypeError, ValueError, RecursionError) as exc:
        raise PayloadError(f"has no readable {ABOUT}") from exc
    if actual != expected:
        raise PayloadError(f"says in {ABOUT} that it is {actual}, and the manifest says {expected}")
    if _OF_THE_BOARD in files:
        raise PayloadError(f"has a file {_OF_THE_BOARD!r}, which only a board writes")
    if "start.mpy" not in files:
        raise PayloadError("has no start.mpy, which a board starts")


def check_payload(data: bytes, release: Release) -> None:
    """Raise PayloadError if no board of the manifest's kind would take the payload."""
    if release.kind == "files":
        check_bundle(data, release)
    else:
        read_application(data, chip=release.board)


def read_application(data: bytes, *, chip: str) -> ImageDescription:
    """Return the description of the application in `data`. Raises PayloadError."""
    try:
        chip_id, end = image_end(data, 0, "it")
    except Damage as exc:
        raise PayloadError(str(exc)) from exc
    if chip_id != CHIP_IDS[chip]:
        raise PayloadError(f"is for the chip number {chip_id}, not for the {chip}")
    description = app_description(data)
    if description is None:
        raise PayloadError("has no application descriptor: it may be a bootloader")
    if not data[HASH_FLAG_AT]:
        raise PayloadError("carries no SHA-256 of itself: build it with the hash appended (default)")
    if end != len(data):
        raise PayloadError(f"has {len(data) - end} bytes behind the application: a whole flash image, or a tail")
    return description
