"""Bundles of our files: made and read, POSIX ustar, the same bytes for the same files. It reads no disk.

A bundle has what belongs into the unused one of /fw_a and /fw_b, and about.json, by which the firmware knows its
version.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterable, Mapping
from typing import Final

from microclaw.errors import ConfigError
from microclaw.firmware_folder import firmware_folder
from microclaw.flash.board_files import FOLDER, our_files
from microclaw.ota.manifest import MAX_PAYLOAD_BYTES, SMALL, Release, check_version

ABOUT: Final = "about.json"
MAX_MEMBERS: Final = 256
_BLOCK: Final = 512
_END: Final = bytes(2 * _BLOCK)
_NAME: Final = re.compile(r"(?=.{1,81}\Z)[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)?")
_MPY_VERSION: Final = 6
_MPY_ARCH: Final = {"esp32": 10, "esp32s2": 10, "esp32s3": 10, "esp32c3": 11, "esp32c6": 11}
"""Of native code, MicroPython's py/persistentcode.h: 10 xtensawin, 11 rv32imc; bytecode has 0."""
_MAX_ABOUT_BYTES: Final = 1_024
_OF_THE_BOARD: Final = "whole"
"""The file by which a board knows that a folder is complete: no bundle has one."""


class BundleError(ConfigError):
    """A payload that no board would unpack."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"the bundle {text}", next_step="make it again: microclaw firmware publish --version V --board B"
        )


async def own_files(board: str, *, name: str, version: str, security_version: int) -> dict[str, bytes]:
    """This installation's files for boards, as `microclaw flash` builds them, and about.json. Raises BuildError."""
    check_version(version)
    built = await our_files(firmware_folder(), with_psram=not board.endswith(SMALL))
    files = {file.path.removeprefix(f"{FOLDER}/"): file.data for file in built if file.path.startswith(f"{FOLDER}/")}
    about = {"name": name, "version": version, "security_version": security_version}
    return {**files, ABOUT: json.dumps(about, separators=(",", ":")).encode()}


def pack(files: Mapping[str, bytes]) -> bytes:
    """The files as a tar: by their names, without times, owners and padding beyond the two last blocks."""
    parts: list[bytes] = []
    for name in sorted(files):
        if _NAME.fullmatch(name) is None or _clashes(name, set(files) - {name}):
            raise BundleError(f"cannot have a file of the name {name[:80]!r}")
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(files[name]), 0o644
        parts += (info.tobuf(tarfile.USTAR_FORMAT), files[name], bytes(-len(files[name]) % _BLOCK))
    data = b"".join(parts) + _END
    if len(files) > MAX_MEMBERS or len(data) > MAX_PAYLOAD_BYTES:
        raise BundleError(f"has {len(files)} files and {len(data)} bytes, more than a board takes")
    return data


def unpack(data: bytes) -> dict[str, bytes]:
    """The files of a bundle, each name once. Raises BundleError for whatever a board would refuse."""
    files: dict[str, bytes] = {}
    at = 0
    while data[at : at + _BLOCK].strip(b"\0"):
        name, size = _member(data[at : at + _BLOCK])
        body = data[at + _BLOCK : at + _BLOCK + size]
        at += _BLOCK + size + -size % _BLOCK
        if len(body) < size or at > len(data):
            raise BundleError(f"is cut within {name}")
        if _clashes(name, files) or len(files) == MAX_MEMBERS:
            raise BundleError(f"has {name} twice, or more than {MAX_MEMBERS} files")
        files[name] = body
    if data[at:] != _END:
        raise BundleError("has no end, or something behind it")
    return files


def check_bundle(data: bytes, release: Release) -> None:
    """Raise BundleError unless it is what the manifest says: its name and version, modules for its chip."""
    files = unpack(data)
    about = _about(files)
    said = (release.name, release.version, release.security_version)
    found = (about.get("name"), about.get("version"), about.get("security_version"))
    if found != said:
        raise BundleError(f"says in {ABOUT} that it is {found}, and the manifest says {said}")
    chip = release.board.removesuffix(SMALL)
    modules = [name for name in files if name.endswith(".mpy")]
    if _OF_THE_BOARD in files:
        raise BundleError(f"has a file {_OF_THE_BOARD!r}, which only a board writes")
    if "start.mpy" not in files:
        raise BundleError("has no start.mpy, which a board starts")
    for name in modules:
        head = files[name][:4]
        if len(head) < 4 or head[:2] != bytes([ord("M"), _MPY_VERSION]):
            raise BundleError(f"has {name}, which is no .mpy of version {_MPY_VERSION}")
        arch = head[2] >> 2 & 0x0F
        if arch not in (0, _MPY_ARCH[chip]):
            raise BundleError(f"has {name} with machine code for another chip than the {chip}")


def _clashes(name: str, others: Iterable[str]) -> bool:
    """Whether a file system, also one without cases, would have both in one place, or a file and a folder."""
    folder = name.partition("/")[0]
    return any(
        one.lower() == name.lower() or (folder != name and one == folder) or one.startswith(f"{name}/")
        for one in others
    )


def _member(head: bytes) -> tuple[str, int]:
    """Name and size of one member, its checksum checked."""
    try:
        info = tarfile.TarInfo.frombuf(head, "ascii", "strict")
    except (tarfile.HeaderError, ValueError) as exc:
        raise BundleError(f"is damaged: {exc}") from exc
    if head[257:265] != b"ustar\x0000" or head[156:157] != b"0" or any(head[157:257]) or any(head[345:]):
        raise BundleError(f"has {info.name[:80]!r}, which is no regular file of a ustar archive")
    if _NAME.fullmatch(info.name) is None:
        raise BundleError(f"has a file of the name {info.name[:80]!r}")
    if not 0 <= info.size <= MAX_PAYLOAD_BYTES:
        raise BundleError(f"says that {info.name} has {info.size} bytes")
    return info.name, info.size


def _about(files: Mapping[str, bytes]) -> dict[str, object]:
    try:
        about = json.loads(files[ABOUT][:_MAX_ABOUT_BYTES].decode("utf-8"))
    except (KeyError, ValueError, RecursionError) as exc:
        raise BundleError(f"has no {ABOUT} that can be read") from exc
    if not isinstance(about, dict):
        raise BundleError(f"has an {ABOUT} that is no JSON object")
    return about
