"""The rules for a device's name and labels, and the changes of its entry. It keeps no devices."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence

from microclaw.boards.firmware import described_text
from microclaw.errors import ConfigError, UnknownName
from microclaw.store.devices import DeviceRow

MAX_LABELS = 16
_NAME = re.compile(r"[a-z0-9-]{1,32}")
_LABEL = re.compile(r"[a-z0-9-]{1,32}(=[a-z0-9._-]{1,32})?")


def check_name(name: str) -> str:
    """The name itself; ConfigError with a usable form when it is not one."""
    if _NAME.fullmatch(name):
        return name
    usable = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")[:32]
    text = f"a device's name is 1 to 32 of a-z, 0-9 and '-', not {name!r}"
    raise ConfigError(text, next_step=f"try {usable}" if usable else "try board-1")


def unknown_device(reference: str, known: Sequence[str]) -> UnknownName:
    near = difflib.get_close_matches(reference, known, n=3)
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    elif known:
        hint = f"devices: {', '.join(sorted(known))}"
    else:
        hint = "start one: microclaw up --virtual 1, or add yours: microclaw device add NAME TRANSPORT"
    return UnknownName(f"no device named {reference!r}", next_step=hint)


def check_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """Each once: a word, or a word and its value ("room=kitchen"). ConfigError for another one, and for too many."""
    kept = tuple(dict.fromkeys(labels))
    wrong = [label for label in kept if not _LABEL.fullmatch(label)]
    if wrong:
        text = f"a label is 1 to 32 of a-z, 0-9 and '-', and may have a value behind '=', not {wrong[0][:80]!r}"
        raise ConfigError(text, next_step="microclaw device label NAME indoor room=kitchen")
    if len(kept) > MAX_LABELS:
        raise ConfigError(f"{len(kept)} labels on one device, {MAX_LABELS} is the limit", next_step="use fewer labels")
    return kept


def differences(before: DeviceRow, after: DeviceRow) -> Iterator[str]:
    """Yield the values that differ now, the new first."""
    if before.name != after.name:
        yield f"name: {after.name}, was {before.name}"
    for what, old, new in (
        ("labels", before.labels, after.labels),
        ("transports", before.transports, after.transports),
    ):
        if old != new:
            yield f"{what}: {' '.join(new) or 'none'}, was {' '.join(old) or 'none'}"
    if before.firmware != after.firmware:
        yield f"firmware: {described_text(after.firmware)}, was {described_text(before.firmware)}"
