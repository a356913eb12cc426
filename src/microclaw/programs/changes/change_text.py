"""What a change did, in plain words: "installed blink"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from microclaw.devices.registry.call_text import call_words
from microclaw.programs.changes.change_log import (
    Change,
    ChangeKind,
    PutApp,
    RemoveApp,
    SetLevel,
    SetPwm,
    StartApp,
    StopApp,
)

_VERBS: Final[Mapping[ChangeKind, tuple[str, str]]] = {
    "app.deploy": ("install", "installed"),
    "app.upgrade": ("install a new version of", "installed a new version of"),
    "app.remove": ("remove", "removed"),
    "app.stop": ("stop", "stopped"),
    "app.start": ("start", "started"),
    "app.restart": ("start again", "started again"),
    "app.restore": ("put back", "put back"),
    "gpio.set": ("set", "set"),
    "pwm.set": ("set", "set"),
}


def replacements(changes: Iterable[Change]) -> dict[int, Change]:
    """Return the other half of each replacement by its number: a program is taken off, and the next one put on.

    Both halves are in force, of one turn and on one board.
    """
    halves: dict[int, Change] = {}
    last: dict[tuple[str, str], Change] = {}
    for change in sorted(changes, key=lambda change: change.change_id):
        if change.turn is None or change.state != "done" or change.undone_by is not None:
            continue
        before = last.get((change.turn, change.device_id))
        last[change.turn, change.device_id] = change
        if before is not None and _takes_place(change, before):
            halves[before.change_id] = change
            halves[change.change_id] = before
    return halves


def _takes_place(change: Change, before: Change) -> bool:
    """Return True if the change puts a program on its board after the one before took another one off."""
    is_off = isinstance(before.forward, StopApp | RemoveApp)
    is_put = isinstance(change.forward, PutApp | StartApp)
    return is_off and is_put and before.subject != change.subject


def done_text(change: Change, other: Change | None = None) -> str:
    """Return what was done, or what was tried if it failed or its end is not known; `other`: of a replacement."""
    text = _done_text(change)
    if other is None or isinstance(other.forward, SetLevel | SetPwm):
        return text
    if isinstance(other.forward, StopApp | RemoveApp):
        return f"{text} in place of {other.forward.name}"
    return f"{text} for {other.forward.name}"


def _done_text(change: Change) -> str:
    verb, past = _VERBS[change.kind]
    action = change.forward
    if isinstance(action, SetLevel | SetPwm):
        subject = call_words(action).removeprefix("set ")
    else:
        subject = action.name
    if change.state == "done":
        return f"{past} {subject}"
    if change.state == "failed":
        return f"could not {verb} {subject}"
    return f"began to {verb} {subject}"
