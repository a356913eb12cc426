"""ESP-WASMachine and xiaozhi images that a person has: what goes where, with partition table and NVS. It asks nothing.

A whole image is written as it is, with NVS filled in where its partition for it is empty. A program alone gets the
partition table of its firmware; what else it cannot start without (its files, a bootloader) must be there or be named.
What xiaozhi reads from NVS: 78/esp-wifi-connect ssid_manager.cc (namespace wifi, ssid and password), 78/xiaozhi-esp32
main/ota.cc (ota_url). ESP-WASMachine reads no Wi-Fi from NVS (docs/wasmachine.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from microclaw.errors import ConfigError
from microclaw.flash.chips import MB, Chip
from microclaw.flash.image import IMAGE_MAGIC, Damage, app_description, image_end, read_bytes, read_image
from microclaw.flash.nvs import nvs_partition
from microclaw.flash.partitions import DATA, NVS, SECTOR, TABLE_AT, Layout, encode_table, layout_for, parse_table
from microclaw.flash.wifi import MAX_PASSWORD, MAX_SSID_BYTES, MIN_PASSWORD
from microclaw.text import clean_text

BOOTLOADER: Final = "bootloader"
MAX_OTA_URL: Final = 255  # what 78/esp-wifi-connect's page reads back
BOOTLOADER_BYTES: Final = 0x7000
_MERGE: Final = "make the whole image with esptool merge-bin from what your build says to flash, and give that"
_BUILT: Final = {"storage": "build/storage.bin (idf.py storage-flash makes it)", "assets": "build/generated_assets.bin"}


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes for an address of the flash; `name` is for people."""

    address: int
    data: bytes
    name: str


@dataclass(frozen=True, slots=True)
class OtherImage:
    """What a person gave: `values` go into NVS."""

    firmware: str
    path: Path
    parts: Mapping[str, Path]
    values: Mapping[str, Mapping[str, str]]


def nvs_values(firmware: str, ssid: str | None, password: str | None, ota_url: str | None) -> dict[str, dict[str, str]]:
    """What this firmware reads from NVS; ConfigError for what it does not, or cannot take."""
    if firmware == "wasmachine":
        if ssid is not None or ota_url is not None:
            raise ConfigError(
                "ESP-WASMachine reads no Wi-Fi and no server from its NVS",
                next_step="leave them out; build the Wi-Fi in, or type sta -s SSID -p PASSWORD on its console "
                "(docs/wasmachine.md)",
            )
        return {}
    wifi: dict[str, str] = {}
    if ssid is not None:
        if not 0 < len(ssid.encode()) <= MAX_SSID_BYTES or "\0" in ssid:
            raise ConfigError(f"a Wi-Fi name has 1 to {MAX_SSID_BYTES} bytes", next_step="copy it again")
        size = len((password or "").encode())
        if size and (not MIN_PASSWORD <= size <= MAX_PASSWORD or "\0" in (password or "")):
            raise ConfigError(
                f"a Wi-Fi password has {MIN_PASSWORD} to {MAX_PASSWORD} characters", next_step="type it again"
            )
        wifi = {"ssid": ssid, "password": password or ""}
    if ota_url is not None:
        if not ota_url.startswith(("http://", "https://")) or len(ota_url.encode()) > MAX_OTA_URL or "\0" in ota_url:
            raise ConfigError(
                f"--ota-url is no http or https address of at most {MAX_OTA_URL} bytes",
                next_step="copy the address that your xiaozhi server tells for devices",
            )
        wifi["ota_url"] = ota_url
    return {"wifi": wifi} if wifi else {}


def is_whole(path: Path) -> bool:
    """Whether the file has a partition table where one belongs, and is not one program to its very end."""
    data = read_bytes(path)
    try:
        if image_end(data, 0, "its program")[1] == len(data):
            return False
    except Damage:
        pass  # the checks of either kind say what is wrong with it
    return any(data[at : at + 2] == b"\xaa\x50" for at in (TABLE_AT, TABLE_AT - 0x1000))


def whole_pieces(given: OtherImage) -> list[Piece]:
    """A whole image, checked, and its NVS filled in."""
    if given.parts:
        raise ConfigError(f"{given.path.name} is a whole image: it has every part", next_step="leave --part out")
    image = read_image(given.path)
    data = bytearray(image.data)
    if given.values:
        table = image.at(TABLE_AT, SECTOR)
        nvs = next((p for p in parse_table(table) if (p.label, p.kind, p.subtype) == ("nvs", DATA, NVS)), None)
        if nvs is None:
            raise ConfigError(f"{given.path.name} has no partition for NVS", next_step="leave --wifi and --ota-url out")
        begin, end = nvs.offset - image.start, nvs.end - image.start
        if bytes(data[begin:end]).strip(b"\xff"):
            raise ConfigError(
                f"{given.path.name} brings settings of its own in NVS", next_step="leave --wifi and --ota-url out"
            )
        data += b"\xff" * (end - len(data))
        data[begin:end] = nvs_partition(given.values, nvs.size)
    return [Piece(image.start, bytes(data), given.path.name)]


def program_pieces(given: OtherImage, chip: Chip, flash_bytes: int, bootloader: bytes | None) -> list[Piece]:
    """A program alone, with all that it needs. `bootloader`: what the board's flash has in its place."""
    data, name = read_bytes(given.path), given.path.name
    layout = layout_for(given.firmware, flash_bytes)
    if layout is None:
        raise ConfigError(f"{given.firmware} needs 4 MB of flash", next_step="use a board with more flash")
    if given.firmware == "xiaozhi" and chip.name == "ESP32-C3" and layout.end > 8 * MB:
        raise ConfigError("xiaozhi has another layout for an ESP32-C3 with 16 MB", next_step=_MERGE)
    _check_program(data, name, layout, chip, given.firmware)
    unknown = set(given.parts) - {BOOTLOADER, *layout.needed}
    if unknown:
        known = ", ".join((BOOTLOADER, *layout.needed))
        raise ConfigError(f"{given.firmware} has no part {sorted(unknown)[0]!r}", next_step=f"its parts are {known}")
    pieces: list[Piece] = []
    if BOOTLOADER in given.parts:
        bootloader = read_bytes(given.parts[BOOTLOADER])
        pieces.append(Piece(chip.image_start, bootloader, given.parts[BOOTLOADER].name))
    _check_bootloader(bootloader or b"", chip, layout)
    nvs = layout.named("nvs")
    head = encode_table(layout.partitions) + nvs_partition(given.values, nvs.size)
    pieces.append(Piece(TABLE_AT, head.ljust(layout.app.offset - TABLE_AT, b"\xff"), "partition table and NVS"))
    pieces.append(Piece(layout.app.offset, data, name))
    return [*pieces, *(_part(given, layout, label) for label in layout.needed)]


def _part(given: OtherImage, layout: Layout, label: str) -> Piece:
    path, place = given.parts.get(label), layout.named(label)
    if path is None:
        raise ConfigError(
            f"{given.firmware} does not work without its partition {label}",
            next_step=f"add --part {label}=FILE, of your build: {_BUILT[label]}; or {_MERGE}",
        )
    data = read_bytes(path)
    if not 0 < len(data) <= place.size:
        raise ConfigError(
            f"{path.name} has {len(data)} bytes, and {label} has room for {place.size}",
            next_step="build it for a board with this flash",
        )
    return Piece(place.offset, data, path.name)


def _check_program(data: bytes, name: str, layout: Layout, chip: Chip, firmware: str) -> None:
    remedy = "get it again, or name another one with --image"
    if data[:1] != bytes([IMAGE_MAGIC]):
        raise ConfigError(f"{name} is no image for an ESP32: it does not begin as one", next_step=remedy)
    try:
        chip_id, end = image_end(data, 0, "its program")
    except Damage as exc:
        raise ConfigError(f"{name} {exc}", next_step=remedy) from exc
    if chip_id != chip.image_id:
        raise ConfigError(f"{name} is not for the {chip.name}, which this board has", next_step=remedy)
    project, version = app_description(data) or ("", "")
    if project != layout.project:
        called = clean_text(project, one_line=True) or "nothing"
        raise ConfigError(
            f"{name} calls itself {called}, not {layout.project}: its partitions are not known here", next_step=_MERGE
        )
    if firmware == "xiaozhi" and version.lstrip("v").startswith(("0.", "1.")):
        raise ConfigError(f"{name} is xiaozhi {version}, whose partitions are other ones", next_step=_MERGE)
    if end > layout.app.size:
        raise ConfigError(
            f"{name} has {end} bytes, and its partition {layout.app.size}", next_step="use a board with more flash"
        )


def _check_bootloader(data: bytes, chip: Chip, layout: Layout) -> None:
    """The one that starts the program: whole, of this chip, and for a flash that the partitions fit."""
    remedy = f"add --part {BOOTLOADER}=build/bootloader/bootloader.bin of your build; or {_MERGE}"
    try:
        chip_id, end = image_end(data, 0, "its bootloader")
    except Damage:
        raise ConfigError("there is no whole bootloader to start this program", next_step=remedy) from None
    if chip_id != chip.image_id or end > TABLE_AT - chip.image_start:
        raise ConfigError(f"the bootloader is not one for the {chip.name}", next_step=remedy)
    flash_mb = 1 << (data[3] >> 4)
    if flash_mb * MB < layout.end:
        raise ConfigError(
            f"the bootloader is for a flash of {flash_mb} MB, and the partitions end at {-(-layout.end // MB)} MB",
            next_step=remedy,
        )
