"""The act of telemetry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Final, TypeAlias

from msgspec import Meta, Struct, structs

from microclaw.clock import now_ms
from microclaw.devices.link.results import LastValue
from microclaw.devices.telemetry.history import MAX_POINTS, REASONS, Series, TelemetryHistory
from microclaw.errors import ConfigError
from microclaw.host.operations.forms import CommandForm
from microclaw.host.operations.operation import NAME, Access, OperationCall, Option, operation
from microclaw.host.operations.result import Result
from microclaw.host.store.telemetry import Source
from microclaw.text import count_text, moment_text, since_ms

if TYPE_CHECKING:
    from collections.abc import Iterator

_WHEN: Final = "30m|7d|DAY"
DEFAULT_SPAN_MS: Final = 2 * 3_600_000
Moment: TypeAlias = Annotated[int, Meta(ge=0, lt=2**53, description="Unix time in ms, of this host's clock.")]


class RefusedTelemetry(Struct, frozen=True, kw_only=True):
    """Values of a device that were not kept since the host started."""

    device: str
    reason: str
    count: int
    text: str


class TelemetryReport(Result, frozen=True, kw_only=True):
    """`source`: what the points are made of; `last` are the newest values."""

    device: str
    since_ms: int
    until_ms: int
    bucket_ms: int
    source: Source
    series: tuple[Series, ...]
    last: list[LastValue]
    refused: list[RefusedTelemetry]

    document: ClassVar = "telemetry"

    def lines(self) -> Iterator[str]:
        if not self.series:
            yield f"{self.device} sent no telemetry yet; devices on the link do, each half minute"
        for series in self.series:
            values = "no values"
            if series.points:
                low = min(point.low for point in series.points)
                high = max(point.high for point in series.points)
                newest = f"{series.points[-1].mean:,.10g} {series.unit}".rstrip()
                values = f"{newest}, {low:,.10g} to {high:,.10g}"
            yield f"{series.key}: {values} since {moment_text(self.since_ms)}"
        for refused in self.refused:
            yield refused.text


@operation(
    "telemetry.show", http="GET /v1/devices/{name}/telemetry", access=Access.LOOK, command=CommandForm("telemetry")
)
async def show(
    history: TelemetryHistory,
    _call: OperationCall,
    *,
    name: Annotated[str, Meta(pattern=NAME, description="The device.")],
    key: Annotated[str | None, Meta(max_length=64, description="Only this series."), Option(argument=True)] = None,
    since: Annotated[Moment | None, Meta(description="From then on."), Option(metavar=_WHEN, reads=since_ms)] = None,
    until: Annotated[Moment | None, Meta(description="Up to then."), Option(metavar=_WHEN, reads=since_ms)] = None,
    points: Annotated[int, Meta(ge=2, le=MAX_POINTS, description="At most this many points of a series.")] = 120,
) -> TelemetryReport:
    """Show the values of a device in a time, or in the last two hours, as fine as the time and points allow."""
    device = history.devices.get(name)
    keys = await history.keys(device, key)
    if until is None:
        until_ms = now_ms() + 1
    else:
        until_ms = until
    if since is None:
        since_ms = until_ms - DEFAULT_SPAN_MS
    else:
        since_ms = since
    if since_ms >= until_ms:
        raise ConfigError("a time ends after it began", next_step="give an earlier `since`, or a later `until`")
    values = await history.read(device.device_id, keys, since_ms, until_ms, points)
    own_refused = []
    for refused in refused_values(history):
        if refused.device == device.name:
            own_refused.append(refused)
    return TelemetryReport(
        device=device.name,
        **structs.asdict(values),
        last=history.last(device.device_id),
        refused=own_refused,
    )


def refused_values(history: TelemetryHistory) -> Iterator[RefusedTelemetry]:
    """Yield the values that were not kept, of every device."""
    for device in history.devices.list():
        for reason, count in history.refused(device.device_id).items():
            text = f"{count_text(count, 'value')} not kept: {REASONS[reason]}"
            yield RefusedTelemetry(device=device.name, reason=reason, count=count, text=text)
