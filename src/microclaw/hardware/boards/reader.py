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
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import Annotated, Any, Final

from msgspec import Meta, Struct, ValidationError

from microclaw.conversion import convert
from microclaw.errors import ConfigError, UnknownName
from microclaw.hardware.boards.profile import BoardPin, BoardProfile, HeaderPin, PinLack, PinUse

VOICE: Final = "voice"
"""The board of a device that people only speak to: no pins, no programs. `board_ids` does not contain it."""
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
    """Return the ids of all boards, sorted."""
    ids = []
    for entry in resources.files(__package__).iterdir():
        if entry.name.endswith(_SUFFIX):
            ids.append(entry.name.removesuffix(_SUFFIX))
    return tuple(sorted(ids))


@functools.cache
def load_board(board_id: str) -> BoardProfile:
    """Return the profile of a board. Raises UnknownName, which lists the ids, if there is none."""
    if board_id == VOICE:
        return parse_board(VOICE, _read("spoken", VOICE))
    if board_id in board_ids():
        return parse_board(board_id, _read(board_id))
    hint = ""
    near = difflib.get_close_matches(board_id, (*board_ids(), VOICE), n=1)
    if near:
        hint = f"did you mean {near[0]}? "
    names = ", ".join(board_ids())
    raise UnknownName(f"no board profile named {board_id!r}", next_step=f"{hint}known boards: {names}")


def parse_board(board_id: str, text: str) -> BoardProfile:
    """Parse a profile's TOML text. Raises ConfigError, which names the wrong field."""
    try:
        return convert(_fields_of(board_id, tomllib.loads(text)), BoardProfile)
    except (ValidationError, tomllib.TOMLDecodeError, OSError, KeyError, TypeError, ValueError) as exc:
        raise ConfigError(f"board profile {board_id}: {type(exc).__name__}: {exc}") from exc


def _fields_of(board_id: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a BoardProfile: those of its chip, then those of its file, then the derived ones."""
    fields = {"led": None, "i2c": None, **data}
    chip = _shared("chips", fields.get("chip_pins"))
    rows = [*chip.get("pins", ()), *fields["pins"]]
    wires = {}
    i2c = fields["i2c"]
    if i2c is not None:
        wires = {"SDA": i2c["sda"], "SCL": i2c["scl"]}
    if "layout" in fields:
        for header in fields["layout"]["headers"]:
            header["pins"] = [_parse_header_pin(place) for place in header["pins"]]
    pins = _join_rows(convert(rows, list[_Row]))
    variant = _shared("variants", fields.get("arduino_variant"))
    arduino_pins = {**variant.get("pins", {}), **wires}
    return {**chip, **fields, "board_id": board_id, "pins": pins, "arduino_pins": arduino_pins}


def _read(*path: str) -> str:
    """Read a file beside this one; its name is without the suffix."""
    *folders, name = path
    file = resources.files(__package__).joinpath(*folders, name + _SUFFIX)
    return file.read_text(encoding="utf-8")


def _shared(folder: str, name: str | None) -> dict[str, Any]:
    """Return a file of facts that several boards share, or nothing without a name."""
    if name is None:
        return {}
    return tomllib.loads(_read(folder, name))


def _parse_header_pin(place: str | int) -> HeaderPin:
    """Parse a place: 7 -> GPIO 7 with the print "7"; "VP=36" -> GPIO 36 with the print "VP"; "GND" -> no GPIO."""
    label, _, number = str(place).partition("=")
    if isinstance(place, int):
        return HeaderPin(label, place)
    if number:
        return HeaderPin(label, int(number))
    return HeaderPin(label, None)


def _join_rows(rows: Sequence[_Row]) -> Mapping[int, BoardPin]:
    """Return the pins, by number and in order, each with the facts of all its rows."""
    by_number: dict[int, list[_Row]] = {}
    for row in rows:
        for number in _parse_spans(row.gpio):
            by_number.setdefault(number, []).append(row)
    pins = {}
    for number in sorted(by_number):
        pins[number] = _pin_of(number, by_number[number])
    return pins


def _pin_of(number: int, rows: Sequence[_Row]) -> BoardPin:
    """Return the pin: its uses unite, its reasons and sources join in the order of the rows."""
    uses: frozenset[PinUse] = frozenset()
    lacks: dict[PinLack, str] = {}
    for row in rows:
        uses |= row.uses
        lacks |= row.lacks
    return BoardPin(
        number=number,
        uses=uses,
        reserved=_join_texts(row.reserved for row in rows),
        caution=_join_texts(row.caution for row in rows),
        lacks=lacks,
        source="; ".join(dict.fromkeys(row.source for row in rows)),
    )


def _join_texts(texts: Iterable[str | None]) -> str | None:
    """Join the texts that are not empty; return None if all are."""
    return "; ".join(filter(None, texts)) or None


def _parse_spans(spans: Sequence[str]) -> list[int]:
    """Parse spans of numbers: ["0-2", "7"] -> [0, 1, 2, 7]."""
    numbers: list[int] = []
    for span in spans:
        first, _, last = span.partition("-")
        low = int(first)
        high = int(last or first)
        if not 0 <= low <= high <= _HIGHEST_GPIO:
            raise ValueError(f"bad GPIO range {span!r}")
        numbers.extend(range(low, high + 1))
    return numbers
