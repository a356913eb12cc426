"""The topics of docs/mqtt.md, and what a command topic says. It sends nothing.

A name becomes one part of a topic: what is not a letter, a digit or one of `_.-~` is percent-encoded (RFC 3986), so no
`+`, `#`, `/` and no control character of a name ever reaches a topic, and two names never become one.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias
from urllib.parse import quote, unquote

from msgspec import Struct

MAX_NAME_CHARS: Final = 126  # of a program, as the firmware takes them
Switch: TypeAlias = Literal["on", "off"]
_SWITCH: Final[dict[str, Switch]] = {"on": "on", "1": "on", "true": "on", "off": "off", "0": "off", "false": "off"}
PRESS: Final = "press"
MAX_PAYLOAD_BYTES: Final = 64


class Command(Struct, frozen=True):
    """`name` is a GPIO's number, or the name of a pin or program; an undo has none, and no `switch`."""

    device: str
    target: Literal["pin", "program", "undo"]
    name: str = ""
    switch: Switch | None = None

    def __str__(self) -> str:
        return self.target if self.switch is None else f"{self.target} {self.name} {self.switch}"


class WrongCommand(Struct, frozen=True):
    """A message on a command topic that says nothing that can be done; `reason` is what is wrong with it."""

    device: str
    reason: str


class Topics(Struct, frozen=True):
    """`base` is `mqtt.topic`, `host` this host's id."""

    base: str
    host: str

    @property
    def root(self) -> str:
        return f"{self.base}/{self.host}"

    def of_host(self, name: str) -> str:
        return f"{self.root}/{name}"

    def of_device(self, device: str, *parts: str) -> str:
        return f"{self.root}/{device_topic(device, *parts)}"

    @property
    def commands(self) -> tuple[str, ...]:
        """The filters of every command."""
        return (f"{self.root}/+/pin/+/set", f"{self.root}/+/program/+/set", f"{self.root}/+/undo")


def topic_part(name: str) -> str:
    """The name as one part of a topic."""
    return quote(name, safe="~")


def device_topic(device: str, *parts: str) -> str:
    """A topic of a device, below the host's own."""
    return "/".join(map(topic_part, (device, *parts)))


def device_of(topic: str) -> str:
    """The name of the device that a topic below the host's own is about."""
    return unquote(topic.partition("/")[0])


def read_command(topic: str, payload: bytes) -> Command | WrongCommand:
    """Read a message's command; `topic` is below the host's own one."""
    device = device_of(topic)[:MAX_NAME_CHARS]
    if len(payload) > MAX_PAYLOAD_BYTES:
        return WrongCommand(device, f"its payload has {len(payload)} bytes, {MAX_PAYLOAD_BYTES} is the limit")
    word = payload.decode(errors="replace").strip().lower()
    match [unquote(part) for part in topic.split("/")][1:]:
        case ["undo"]:
            if word != PRESS:
                return WrongCommand(device, f"undo takes PRESS, not {word!r}")
            return Command(device, "undo")
        case ["pin" | "program" as target, name, "set"] if 0 < len(name) <= MAX_NAME_CHARS:
            if word not in _SWITCH:
                return WrongCommand(device, f"{target} takes ON or OFF, not {word!r}")
            return Command(device, "pin" if target == "pin" else "program", name, _SWITCH[word])
        case _:
            return WrongCommand(device, "this topic is no command")
