"""The rules for a device's name, labels and wiring, and the changes of its entry. It keeps no devices."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace

from microclaw.errors import ConfigError, MicroclawError, UnknownName
from microclaw.hardware.boards.firmware import described_text
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.named_parts import name_pin, part_line, without_part
from microclaw.hardware.parts.wiring import (
    WiredPart,
    Wiring,
    read_wiring,
    wiring_of_board,
    wiring_tables,
)
from microclaw.host.store.devices import DeviceRow

MAX_LABELS = 16
_NAME = re.compile(r"[a-z0-9-]{1,32}")
_LABEL = re.compile(r"[a-z0-9-]{1,32}(=[a-z0-9._-]{1,32})?")
_PIN_LABEL: Final = re.compile(r"pin-(\d{1,3})=(.+)")
_MAX_WIRED_PARTS_SHOWN: Final = 8
_log = logging.getLogger(__name__)


def check_name(name: str) -> str:
    """Return the name; raise ConfigError with a usable form if it is not valid."""
    if _NAME.fullmatch(name):
        return name
    usable = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")[:32] or "board-1"
    text = f"a device's name is 1 to 32 of a-z, 0-9 and '-', not {name!r}"
    raise ConfigError(text, next_step=f"try {usable}")


def unknown_device_error(reference: str, known: Sequence[str]) -> UnknownName:
    """Build the error for a name that no device has; `known` are the names of all devices."""
    similar = difflib.get_close_matches(reference, known, n=3)
    if similar:
        hint = f"did you mean {' or '.join(similar)}?"
    elif known:
        hint = f"devices: {', '.join(sorted(known))}"
    else:
        hint = "start one: microclaw up --virtual 1, or add yours: microclaw device add NAME TRANSPORT"
    return UnknownName(f"no device named {reference!r}", next_step=hint)


def check_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """Return each label once: a word, or a word and its value ("room=kitchen").

    Raises ConfigError for an invalid label, and for more than MAX_LABELS.
    """
    unique = tuple(dict.fromkeys(labels))
    for label in unique:
        if not _LABEL.fullmatch(label):
            text = f"a label is 1 to 32 of a-z, 0-9 and '-', and may have a value behind '=', not {label[:80]!r}"
            raise ConfigError(text, next_step=f"try {_usable_label(label)}")
    if len(unique) > MAX_LABELS:
        text = f"{len(unique)} labels on one device, {MAX_LABELS} is the limit"
        raise ConfigError(text, next_step="use fewer labels")
    return unique


def _usable_label(label: str) -> str:
    """Return a label like this one with the characters that a label may have ("Attic 2" is attic-2)."""
    words = []
    for word in label.lower().split("=", 1):
        words.append(re.sub(r"[^a-z0-9]+", "-", word)[:32].strip("-") or "here")
    return "=".join(words)


def read_record(row: DeviceRow) -> Wiring:
    """Return the recorded parts of a device. What this version cannot read is `unread`, with a warning."""
    parts: list[WiredPart] = []
    unread: dict[str, Any] = {}
    for part_id, table in row.wiring.items():
        try:
            parts += read_wiring({part_id: table}).parts
        except MicroclawError as exc:
            _log.warning("%s: a part of its wiring cannot be read: %s", row.name, exc.message)
            unread[part_id] = table
    return Wiring(tuple(parts), unread=unread)


def with_wiring(row: DeviceRow, wiring: Wiring) -> DeviceRow:
    """Return the row with these parts as its record, and with those that a later version wrote."""
    return replace(row, wiring={**wiring.unread, **wiring_tables(wiring)})


def with_labels(row: DeviceRow, labels: Iterable[str], board: BoardProfile) -> DeviceRow:
    """Return the row with these labels; a label that names a pin (`pin-5=desk lamp`) becomes a part of its wiring.

    The name of a part may have any visible characters, so it is not held to the form of labels. Raises ConfigError for
    an invalid label, and for a pin that the board cannot use so; PinClaimed for a pin that has another part.
    """
    plain_labels = []
    for label in labels:
        named_pin = _PIN_LABEL.fullmatch(label)
        if named_pin is None:
            plain_labels.append(label)
        else:
            wiring = wiring_of_board(read_record(row), board)
            wiring = name_pin(wiring, board, named_pin[2], int(named_pin[1]), device=row.name)
            row = with_wiring(row, wiring)
    return replace(row, labels=check_labels(plain_labels))


def without_labels(row: DeviceRow, removed: Iterable[str], board: BoardProfile) -> DeviceRow:
    """Return the row without these labels; "pin-5=lamp" is the part of that name on that pin.

    Raises UnknownName for a label that the device does not have.
    """
    for label in removed:
        named_pin = _PIN_LABEL.fullmatch(label)
        if label in row.labels:
            row = replace(row, labels=tuple(other for other in row.labels if other != label))
        elif named_pin is not None:
            row = _without_named_pin(row, named_pin[2], int(named_pin[1]), board)
        else:
            step = f"labels: {', '.join(row.labels) or 'none'}"
            raise UnknownName(f"{row.name} has no label {label[:80]!r}", next_step=step)
    return row


def _without_named_pin(row: DeviceRow, name: str, gpio: int, board: BoardProfile) -> DeviceRow:
    wiring = wiring_of_board(read_record(row), board)
    part = wiring.called(name)
    if part is not None and gpio in part.pins.values():
        return with_wiring(row, without_part(wiring, part.id))
    step = f"see what is wired: microclaw device wiring {row.name}"
    raise UnknownName(f"{row.name} has no {name[:40]!r} on pin {gpio}", next_step=step)


def with_wired_labels(row: DeviceRow, board: BoardProfile) -> DeviceRow:
    """Return the row of an earlier version with its named pins as parts; what the board cannot have stays a label."""
    for label in filter(_PIN_LABEL.fullmatch, row.labels):
        rest = tuple(other for other in row.labels if other != label)
        try:
            wired = with_labels(row, [label], board)
        except MicroclawError as exc:
            _log.warning("%s: the label %s names no pin of its wiring: %s", row.name, label, exc.message)
            continue
        row = replace(wired, labels=rest)
    return row


def differences(before: DeviceRow, after: DeviceRow) -> Iterator[str]:
    """Yield a line for each value that differs now, with the new value first."""
    if before.name != after.name:
        yield f"name: {after.name}, was {before.name}"
    yield from label_differences(before.labels, after.labels)
    if before.transports != after.transports:
        yield f"transports: {_words(after.transports)}, was {_words(before.transports)}"
    if before.firmware != after.firmware:
        yield f"firmware: {described_text(after.firmware)}, was {described_text(before.firmware)}"
    yield from wiring_differences(before.wiring, after.wiring)


def label_differences(before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
    """Yield a line with the new and the former labels, if they differ."""
    if before != after:
        yield f"labels: {_words(after)}, was {_words(before)}"


def wiring_differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each part that is new, changed or removed; beyond a bound only how many."""
    changed_ids = [part_id for part_id in {**before, **after} if before.get(part_id) != after.get(part_id)]
    for part_id in changed_ids[:_MAX_WIRED_PARTS_SHOWN]:
        yield f"wiring: {_part_text(part_id, after)}, was {_part_text(part_id, before)}"
    if len(changed_ids) > _MAX_WIRED_PARTS_SHOWN:
        yield f"wiring: {len(changed_ids) - _MAX_WIRED_PARTS_SHOWN} more parts changed"


def _part_text(part_id: str, tables: Mapping[str, Any]) -> str:
    if part_id not in tables:
        return "none"
    try:
        return part_line(read_wiring({part_id: tables[part_id]}).parts[0])
    except MicroclawError:
        # A later version wrote it.
        return f"{part_id}, which is not readable"


def _words(values: Sequence[str]) -> str:
    return " ".join(values) or "none"
