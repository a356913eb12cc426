"""What a change did, in plain words: "installed blink"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from microclaw.devices.registry.call_text import call_words
from microclaw.programs.changes.change_log import Change, ChangeKind, SetLevel, SetPwm

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


def done_text(change: Change) -> str:
    """Return what was done, or what was tried if it failed or its end is not known."""
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
