"""The rules for a device's name and labels, and the changes of its entry. It keeps no devices."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence

from microclaw.errors import ConfigError, UnknownName
from microclaw.hardware.boards.firmware import described_text
from microclaw.host.store.devices import DeviceRow

MAX_LABELS = 16
_NAME = re.compile(r"[a-z0-9-]{1,32}")
_LABEL = re.compile(r"[a-z0-9-]{1,32}(=[a-z0-9._-]{1,32})?")


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
            raise ConfigError(text, next_step="microclaw device label NAME indoor room=kitchen")
    if len(unique) > MAX_LABELS:
        text = f"{len(unique)} labels on one device, {MAX_LABELS} is the limit"
        raise ConfigError(text, next_step="use fewer labels")
    return unique


def differences(before: DeviceRow, after: DeviceRow) -> Iterator[str]:
    """Yield a line for each value that differs now, with the new value first."""
    if before.name != after.name:
        yield f"name: {after.name}, was {before.name}"
    if before.labels != after.labels:
        yield f"labels: {_words(after.labels)}, was {_words(before.labels)}"
    if before.transports != after.transports:
        yield f"transports: {_words(after.transports)}, was {_words(before.transports)}"
    if before.firmware != after.firmware:
        yield f"firmware: {described_text(after.firmware)}, was {described_text(before.firmware)}"


def _words(values: Sequence[str]) -> str:
    return " ".join(values) or "none"
