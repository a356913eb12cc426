"""The topics of docs/mqtt.md. It sends nothing.

A name becomes one part of a topic: all characters except letters, digits and `_.-~` are percent-encoded (RFC 3986). So
`+`, `#`, `/` and control characters of a name never reach a topic, and two names never have the same topic.
"""

from __future__ import annotations

from urllib.parse import quote, unquote

from msgspec import Struct


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
    """Encode a name as one part of a topic."""
    return quote(name, safe="~")


def device_topic(device: str, *parts: str) -> str:
    """Build a topic of a device, below the host's own."""
    return "/".join(map(topic_part, (device, *parts)))


def device_of(topic: str) -> str:
    """Return the name of the device in a topic below the host's own."""
    return unquote(topic.partition("/")[0])
