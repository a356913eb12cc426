"""Reads the board profiles shipped as package data (*.toml beside this file) into `BoardProfile` values; no network.

A profile's file name is its board id. Each `[[pins]]` row names GPIOs ("2", "26-32") and adds uses, a reservation or a
caution, always with the source of that fact. `chip_pins` names the file in chips/ whose rows come before a board's own,
`arduino_variant` the one in variants/ with the pin constants of Arduino's package for it.
`[layout]` has the headers in their real order: each place is a GPIO's number, a print ("GND"), or both ("VP=36").
"""

from __future__ import annotations

import difflib
import functools
import tomllib
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType
from typing import Any, get_args

from microclaw.boards.profile import BoardProfile, Firmware, Header, HeaderPin, I2cBus, Layout, Led, Pin, PinUse
from microclaw.boards.voice import VOICE_BOARD
from microclaw.errors import ConfigError, UnknownName

_SUFFIX = ".toml"
_USES: frozenset[str] = frozenset(get_args(PinUse))
_HIGHEST_GPIO = 255


@functools.cache
def board_ids() -> tuple[str, ...]:
    """The ids of every known board, sorted."""
    names = (entry.name for entry in resources.files(__package__).iterdir())
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)))


@functools.cache
def load_board(board_id: str) -> BoardProfile:
    """The profile of a board; UnknownName lists the known ids."""
    if board_id == VOICE_BOARD.board_id:
        return VOICE_BOARD
    known = board_ids()
    if board_id not in known:
        near = difflib.get_close_matches(board_id, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UnknownName(f"no board profile named {board_id!r}", next_step=f"{hint}known boards: {', '.join(known)}")
    text = resources.files(__package__).joinpath(board_id + _SUFFIX).read_text(encoding="utf-8")
    return parse_board(board_id, text)


def parse_board(board_id: str, text: str) -> BoardProfile:
    """A profile from its TOML text; ConfigError says which field is wrong."""
    try:
        data = tomllib.loads(text)
        return BoardProfile(
            board_id=board_id,
            title=data["title"],
            chip=data["chip"],
            flash_mb=data["flash_mb"],
            psram_mb=data["psram_mb"],
            pins=MappingProxyType(_pins([*_shared("chips", data.get("chip_pins")), *data["pins"]])),
            led=Led(**data["led"]) if "led" in data else None,
            i2c=_i2c(data["i2c"]) if "i2c" in data else None,
            firmware=_firmware(data["firmware"]),
            power_cut=data["power_cut"],
            no_led=data.get("no_led"),
            no_led_source=data["no_led_source"] if "no_led" in data else "",
            arduino_pins=MappingProxyType(_arduino_pins(data)),
            layout=_layout(data["layout"]) if "layout" in data else None,
        )
    except (tomllib.TOMLDecodeError, OSError, KeyError, TypeError, ValueError) as exc:
        raise ConfigError(f"board profile {board_id}: {type(exc).__name__}: {exc}") from exc


def _shared(folder: str, name: str | None) -> Any:
    """The pins of a file of facts that several boards share; none without a name."""
    if name is None:
        return ()
    text = resources.files(__package__).joinpath(folder, name + _SUFFIX).read_text(encoding="utf-8")
    return tomllib.loads(text)["pins"]


def _arduino_pins(data: Mapping[str, Any]) -> dict[str, int]:
    """The variant's constants; its I2C pins are a fact of the board itself."""
    wires = {"SDA": data["i2c"]["sda"], "SCL": data["i2c"]["scl"]} if "i2c" in data else {}
    return dict(_shared("variants", data.get("arduino_variant"))) | wires


def _i2c(data: Mapping[str, Any]) -> I2cBus:
    return I2cBus(
        sda=data["sda"],
        scl=data["scl"],
        sensors=MappingProxyType(dict(data["sensors"])),
        source=data["source"],
    )


def _layout(data: Mapping[str, Any]) -> Layout:
    sides = {"left", "right"}
    if data["usb"] not in ("top", "bottom") or {row["side"] for row in data["headers"]} - sides:
        raise ValueError("a layout's usb is top or bottom, a header's side left or right")
    headers = tuple(
        Header(row["name"], row["side"], tuple(_header_pin(place) for place in row["pins"])) for row in data["headers"]
    )
    return Layout(data["usb"], headers, data["source"])


def _header_pin(place: str | int) -> HeaderPin:
    """7 -> 7 printed and meant; "VP=36" -> VP is GPIO 36; "GND" -> no GPIO."""
    label, _, number = str(place).partition("=")
    return HeaderPin(label, place if isinstance(place, int) else int(number) if number else None)


def _firmware(data: Mapping[str, Any]) -> Firmware:
    sets = {key: frozenset(data[key]) for key in ("native_groups", "device_nodes")}
    return Firmware(**{**data, **sets})


def _pins(rows: list[Mapping[str, Any]]) -> dict[int, Pin]:
    """Add the rows up: uses unite, reasons and sources join in the order of the rows."""
    by_number: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        if unknown := set(row) - {"gpio", "uses", "reserved", "caution", "source"}:
            raise ValueError(f"unknown field {sorted(unknown)[0]!r} in a pins row")
        if unknown := set(row.get("uses", ())) - _USES:
            raise ValueError(f"unknown use {sorted(unknown)[0]!r}, expected one of {', '.join(sorted(_USES))}")
        if not row.get("source"):
            raise ValueError(f"the pins row {row['gpio']} names no source")
        for number in _numbers(row["gpio"]):
            by_number.setdefault(number, []).append(row)
    return {number: _pin(number, by_number[number]) for number in sorted(by_number)}


def _pin(number: int, rows: list[Mapping[str, Any]]) -> Pin:
    uses: frozenset[PinUse] = frozenset().union(*(row.get("uses", ()) for row in rows))
    return Pin(
        number=number,
        uses=uses,
        reserved="; ".join(row["reserved"] for row in rows if "reserved" in row) or None,
        caution="; ".join(row["caution"] for row in rows if "caution" in row) or None,
        source="; ".join(dict.fromkeys(row["source"] for row in rows)),
    )


def _numbers(spans: list[str]) -> list[int]:
    """["0-2", "7"] -> [0, 1, 2, 7]."""
    numbers: list[int] = []
    for span in spans:
        first, _, last = span.partition("-")
        low, high = int(first), int(last or first)
        if not 0 <= low <= high <= _HIGHEST_GPIO:
            raise ValueError(f"bad GPIO range {span!r}")
        numbers.extend(range(low, high + 1))
    return numbers
