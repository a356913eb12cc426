"""What a change to a device is: an action, the action that takes it back, and how far it came. Plain values, no IO."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

from microclaw.errors import StoreError

ChangeKind: TypeAlias = Literal["app.deploy", "app.upgrade", "app.remove", "app.restore", "gpio.set", "pwm.set"]
ChangeState: TypeAlias = Literal["planned", "done", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class AppVersion:
    """A program as it is to run: its image's hash, the terms it was installed under, the pins it drives."""

    sha256: str
    heap_bytes: int
    timers: int
    watchdog_ms: int
    pins: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PutApp:
    """Let `name` be this version, whatever it was before."""

    name: str
    version: AppVersion


@dataclass(frozen=True, slots=True)
class RemoveApp:
    name: str


@dataclass(frozen=True, slots=True)
class SetLevel:
    pin: int
    level: int


@dataclass(frozen=True, slots=True)
class SetPwm:
    """`duty` is 0-255."""

    pin: int
    duty: int
    frequency_hz: int


DeviceAction: TypeAlias = PutApp | RemoveApp | SetLevel | SetPwm


@dataclass(frozen=True, slots=True)
class Change:
    """One journal entry. `inverse` is None when nothing is known that would take it back.

    app.restore is the host's own putting back of an app that a board lost: part of no undo.
    `undoes` names the change that this one took back; `undone_by` the one that took this back. `turn` is the turn or
    the request that made it (apps.together); None for one that stands alone.
    """

    change_id: int
    at_ms: int
    device_id: str
    kind: ChangeKind
    summary: str
    forward: DeviceAction
    inverse: DeviceAction | None
    state: ChangeState
    undoes: int | None = None
    undone_by: int | None = None
    turn: str | None = None

    @property
    def subject(self) -> str:
        """What the change is about: two changes of one subject must be undone in order."""
        return subject_of(self.forward)


def subject_of(action: DeviceAction) -> str:
    if isinstance(action, PutApp | RemoveApp):
        return f"app {action.name}"
    return f"pin {action.pin}"


def encode_action(action: DeviceAction) -> str:
    """An action as JSON text for the store."""
    return json.dumps({"do": _NAMES[type(action)], **asdict(action)}, separators=(",", ":"))


def decode_action(text: str) -> DeviceAction:
    """Read `encode_action`'s text; raises StoreError when it is not one."""
    try:
        fields = json.loads(text)
        match fields.pop("do"):
            case "app.put":
                return PutApp(fields["name"], _version(fields["version"]))
            case "app.remove":
                return RemoveApp(**fields)
            case "gpio.set":
                return SetLevel(**fields)
            case "pwm.set":
                return SetPwm(**fields)
            case other:
                raise ValueError(f"unknown action {other!r}")
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise StoreError(
            f"a stored change cannot be read: {exc}", next_step="restore the home directory from a backup"
        ) from exc


_NAMES: Mapping[type[DeviceAction], str] = {
    PutApp: "app.put",
    RemoveApp: "app.remove",
    SetLevel: "gpio.set",
    SetPwm: "pwm.set",
}


def _version(fields: dict[str, object]) -> AppVersion:
    pins = fields.pop("pins")
    if not isinstance(pins, list):
        raise TypeError("pins must be a list")
    return AppVersion(pins=tuple(pins), **fields)  # type: ignore[arg-type]  # checked by the dataclass's call
