"""Passes devices' measurements and stored events on to their receivers, without the values that no board can have."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from microclaw.host.store.sql import Sql
from microclaw.wire.link.messages import Event, Telemetry

KeepEvent: TypeAlias = Callable[[Sql, str, bytes, Event, int], None]
InSource: TypeAlias = Callable[[str, str, int, str], Awaitable[tuple[str | None, str]]]
"""Of a device, a program, a moment and a text: the hash of the version there, and the text in its source's lines."""


async def _as_it_is(_device_id: str, _app: str, _at_ms: int, text: str) -> tuple[str | None, str]:
    return None, text


class DeviceReports(Struct):
    """The receivers of devices' measurements and stored events; app/ sets them, and the defaults do nothing.

    `impossible` gets the number of values that no board can have. `keep_event` runs in the transaction that stores an
    event, with the device's name, the event's id and Unix time in ms. `in_source` finds the lines of the source that a
    program's trace names. `pass_telemetry` and `pass_event` forward both.
    """

    telemetry: Callable[[str, Telemetry], None] = lambda _endpoint, _telemetry: None
    impossible: Callable[[str, int], None] = lambda _endpoint, _count: None
    event: Callable[[], None] = lambda: None
    keep_event: KeepEvent | None = None
    in_source: InSource = _as_it_is
    pass_telemetry: Callable[[str, Telemetry, int], None] = lambda _name, _telemetry, _at_ms: None
    pass_event: Callable[[], None] = lambda: None

    def pass_on(self, endpoint: str, name: str, reported: Telemetry, at_ms: int) -> Telemetry | None:
        """Pass on and return the values that a board can have. Returns None if a required value is impossible."""
        telemetry, refused_count = drop_impossible(reported)
        if refused_count:
            self.impossible(endpoint, refused_count)
        if telemetry is not None:
            self.telemetry(endpoint, telemetry)
            self.pass_telemetry(name, telemetry, at_ms)
        return telemetry

    def notify_stored(self) -> None:
        self.event()
        self.pass_event()


# The lowest and the highest value of a real board (docs/protocols/link.md#telemetry): today's chips, radios and
# counters, with a margin. Programs' readings have no such bounds.
POSSIBLE: Final[dict[str, tuple[float, float]]] = {
    "free_heap": (0, 1 << 32),
    "uptime_s": (0, 1 << 32),
    "rssi": (-150, 50),
    "temperature": (-100, 250),
    "battery": (0, 100),
    "dropped": (0, 1 << 32),
    "glitches": (0, 1 << 32),
    "refused_events": (0, 1 << 32),
}


def drop_impossible(reported: Telemetry) -> tuple[Telemetry | None, int]:
    """Drop the values that no board can have, and count them. The telemetry is None if a required value is dropped."""
    impossible = []
    for name, (lowest, highest) in POSSIBLE.items():
        value = getattr(reported, name)
        if value is not None and not lowest <= value <= highest:
            impossible.append(name)
    if not impossible:
        return reported, 0
    if "free_heap" in impossible or "uptime_s" in impossible:
        return None, len(impossible)
    return replace(reported, **dict.fromkeys(impossible)), len(impossible)
