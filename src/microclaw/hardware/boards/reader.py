"""Reads the board profiles shipped as package data (*.toml beside this file) into `BoardProfile` values; no network.

A profile's file name is its board id. Each `[[pins]]` row names GPIOs ("2", "26-32") and adds uses, a reservation or a
caution, or says what the chip lacks there, always with the source of that fact. `chip_pins` names the file in chips/
whose rows come before a board's own and which has the chip's PWM, `arduino_variant` the one in variants/ with the pin
constants of Arduino's package for it.
`[layout]` has the headers in their real order: each place is a GPIO's number, a print ("GND"), or both ("VP=36").
"""

from __future__ import annotations

import difflib
import functools
import operator
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Annotated, Any, Final

from msgspec import Meta, Struct, ValidationError, convert

from microclaw.errors import ConfigError, UnknownName
from microclaw.hardware.boards.profile import BoardPin, BoardProfile, HeaderPin, PinLack, PinUse

VOICE: Final = "voice"
"""The board of a device that is only spoken to: no pins, no programs. It is none of `board_ids`."""
_SUFFIX = ".toml"
_HIGHEST_GPIO = 255


class _Row(Struct, frozen=True, forbid_unknown_fields=True):
    """A `[[pins]]` table."""

    gpio: list[str]
    source: Annotated[str, Meta(min_length=1)]
    uses: frozenset[PinUse] = frozenset()
    reserved: str | None = None
    caution: str | None = None
    lacks: dict[PinLack, str] = {}


@functools.cache
def board_ids() -> tuple[str, ...]:
    """The ids of every known board, sorted."""
    names = (entry.name for entry in resources.files(__package__).iterdir())
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)))


@functools.cache
def load_board(board_id: str) -> BoardProfile:
    """The profile of a board; UnknownName lists the known ids."""
    known = (*board_ids(), VOICE)
    if board_id not in known:
        near = difflib.get_close_matches(board_id, known, n=1)
        if near:
            hint = f"did you mean {near[0]}? "
        else:
            hint = ""
        names = ", ".join(board_ids())
        raise UnknownName(f"no board profile named {board_id!r}", next_step=f"{hint}known boards: {names}")
    return parse_board(board_id, _text(*(["spoken"] if board_id == VOICE else []), board_id))


def parse_board(board_id: str, text: str) -> BoardProfile:
    """A profile from its TOML text; ConfigError says which field is wrong."""
    try:
        data: dict[str, Any] = {"led": None, "i2c": None, **tomllib.loads(text)}
        chip = _shared("chips", data.get("chip_pins"))
        rows = [*chip.get("pins", ()), *data["pins"]]
        if data["i2c"] is not None:
            wires = {"SDA": data["i2c"]["sda"], "SCL": data["i2c"]["scl"]}
        else:
            wires = {}
        for header in data["layout"]["headers"] if "layout" in data else ():
            header["pins"] = [_header_pin(place) for place in header["pins"]]
        made = {
            "board_id": board_id,
            "pins": _pins(convert(rows, list[_Row])),
            "arduino_pins": dict(_shared("variants", data.get("arduino_variant")).get("pins", {})) | wires,
        }
        return convert({**chip, **data, **made}, BoardProfile)
    except (ValidationError, tomllib.TOMLDecodeError, OSError, KeyError, TypeError, ValueError) as exc:
        raise ConfigError(f"board profile {board_id}: {type(exc).__name__}: {exc}") from exc


def _text(*path: str) -> str:
    return resources.files(__package__).joinpath(*path[:-1], path[-1] + _SUFFIX).read_text(encoding="utf-8")


def _shared(folder: str, name: str | None) -> dict[str, Any]:
    """Return a file of facts that several boards share, or nothing without a name."""
    if name is None:
        return {}
    return tomllib.loads(_text(folder, name))


def _header_pin(place: str | int) -> HeaderPin:
    """7 -> 7 printed and meant; "VP=36" -> VP is GPIO 36; "GND" -> no GPIO."""
    label, _, number = str(place).partition("=")
    return HeaderPin(label, place if isinstance(place, int) else int(number) if number else None)


def _pins(rows: Sequence[_Row]) -> Mapping[int, BoardPin]:
    """Add the rows up: uses unite, reasons and sources join in the order of the rows."""
    by_number: dict[int, list[_Row]] = {}
    for row in rows:
        for number in _numbers(row.gpio):
            by_number.setdefault(number, []).append(row)
    return {
        number: BoardPin(
            number=number,
            uses=frozenset[PinUse]().union(*(row.uses for row in found)),
            reserved="; ".join(row.reserved for row in found if row.reserved) or None,
            caution="; ".join(row.caution for row in found if row.caution) or None,
            lacks=functools.reduce(operator.or_, (row.lacks for row in found)),
            source="; ".join(dict.fromkeys(row.source for row in found)),
        )
        for number, found in sorted(by_number.items())
    }


def _numbers(spans: Sequence[str]) -> list[int]:
    """["0-2", "7"] -> [0, 1, 2, 7]."""
    numbers: list[int] = []
    for span in spans:
        first, _, last = span.partition("-")
        low = int(first)
        high = int(last or first)
        if not 0 <= low <= high <= _HIGHEST_GPIO:
            raise ValueError(f"bad GPIO range {span!r}")
        numbers.extend(range(low, high + 1))
    return numbers
