"""The act of telemetry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

from msgspec import Meta, Struct

from microclaw.clock import now_ms
from microclaw.errors import ConfigError, UnknownName
from microclaw.link_server.device_facts import LastValue
from microclaw.operations.operation import NAME, Access, Call, operation
from microclaw.operations.result import Result
from microclaw.store.telemetry import Bucket, Source
from microclaw.telemetry.history import MAX_POINTS, REASONS, TelemetryHistory, unit_of
from microclaw.text import count_text

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_SPAN_MS: Final = 2 * 3_600_000
Moment: TypeAlias = Annotated[int, Meta(ge=0, lt=2**53, description="Unix time in ms, of this host's clock.")]


class Series(Struct, frozen=True, kw_only=True):
    key: str
    unit: str
    points: tuple[Bucket, ...]


class RefusedTelemetry(Struct, frozen=True, kw_only=True):
    """Values of a device that were not kept since the host started."""

    device: str
    reason: str
    count: int
    text: str


class Telemetry(Result, frozen=True, kw_only=True):
    """`source`: what the points are made of; `last` are the newest values."""

    device: str
    since_ms: int
    until_ms: int
    bucket_ms: int
    source: Source
    series: list[Series]
    last: list[LastValue]
    refused: list[RefusedTelemetry]


@operation("telemetry.show", http="GET /v1/devices/{name}/telemetry", access=Access.LOOK, is_command=False)
async def show(
    history: TelemetryHistory,
    _call: Call,
    name: Annotated[str, Meta(pattern=NAME)],
    key: Annotated[str | None, Meta(max_length=64, description="Only this series.")] = None,
    since: Moment | None = None,
    until: Moment | None = None,
    points: Annotated[int, Meta(ge=2, le=MAX_POINTS, description="At most so many of a series.")] = 120,
) -> Telemetry:
    """Show what a device measured in a time, or in the last two hours, as fine as the time and points allow."""
    device = history.devices.get(name)
    known = await history.keys(device.device_id)
    if key not in (None, *known):
        there = f"{device.name} has {', '.join(known)}" if known else f"{device.name} sent no telemetry yet"
        raise UnknownName(f"there is no series {key!r:.80}", next_step=there)
    until_ms = now_ms() + 1 if until is None else until
    since_ms = until_ms - DEFAULT_SPAN_MS if since is None else since
    if since_ms >= until_ms:
        raise ConfigError("a time ends after it began", next_step="give an earlier `since`, or a later `until`")
    keys = known if key is None else (key,)
    found = await history.read(device.device_id, keys, since_ms, until_ms, points)
    return Telemetry(
        device=device.name,
        since_ms=found.since_ms,
        until_ms=found.until_ms,
        bucket_ms=found.bucket_ms,
        source=found.source,
        series=[Series(key=one, unit=unit_of(one), points=buckets) for one, buckets in found.series.items()],
        last=last_values(history, device.device_id),
        refused=[one for one in refused_values(history) if one.device == device.name],
    )


def last_values(history: TelemetryHistory, device_id: str) -> list[LastValue]:
    """The last value of each series since the host started."""
    last = history.last(device_id)
    return [LastValue(key=one.key, unit=unit_of(one.key), value=one.value, at_ms=one.at_ms) for one in last]


def refused_values(history: TelemetryHistory) -> Iterator[RefusedTelemetry]:
    """Yield the values that were not kept, of every device."""
    for device in history.devices.list():
        for reason, count in history.refused(device.device_id).items():
            text = f"{count_text(count, 'value')} not kept: {REASONS[reason]}"
            yield RefusedTelemetry(device=device.name, reason=reason, count=count, text=text)
