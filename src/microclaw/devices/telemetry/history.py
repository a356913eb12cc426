"""Receives the values of devices: refuses invalid ones, stores the others in groups, and keeps the last values.

The time of a value is its arrival at this host, because a device's clock may be wrong.
"""

from __future__ import annotations

import asyncio
import csv
import functools
import io
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from microclaw.devices.link.limits import RateLimit
from microclaw.devices.link.results import LastValue
from microclaw.devices.registry.device import Device
from microclaw.devices.registry.registry import Registry
from microclaw.errors import UnknownName
from microclaw.hardware.parts.reader import quantities
from microclaw.host.store.downsampling import Downsampling
from microclaw.host.store.telemetry import (
    HOUR_MS,
    MAX_SERIES,
    MINUTE_MS,
    MINUTES_MS,
    RAW_MS,
    Bucket,
    Point,
    Source,
    TelemetryTable,
    floor_ms,
)
from microclaw.wire.link.messages import Telemetry

CSV_HEAD: Final = "time,device,key,unit,min,max,mean,count\n"
FLUSH_S: Final = 5.0
# Between looks for values to downsample.
STEP_S: Final = 10.0
# Between two steps: other users of the store get a turn.
STEP_PAUSE_S: Final = 0.05
# For each device.
POINTS_A_SECOND: Final = 10.0
POINTS_AT_ONCE: Final = 100.0
# Points that wait while the store does not accept them.
MAX_WAITING: Final = 20_000
# Points in one answer, of all series together.
MAX_POINTS: Final = 10_000
# Sums of larger values are not finite numbers.
MAX_VALUE: Final = 1e300
# 2025-01-01: before that, this machine's clock was not set.
OLDEST_CLOCK_MS: Final = 1_735_689_600_000
RECENT_MS: Final = 15 * MINUTE_MS
# Series of each device.
MAX_RECENT: Final = 16
MAX_KEY_CHARS: Final = 64
_KEY: Final = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_./-]{{0,{MAX_KEY_CHARS - 1}}}")
_NUMBER: Final = re.compile(r"[+-]?(\d{1,20}(\.\d{0,20})?|\.\d{1,20})([eE][+-]?\d{1,3})?")
_FIELDS: Final = ("free_heap", "rssi", "temperature", "battery", "dropped", "glitches", "refused_events")
_OWN: Final = frozenset(Telemetry.__struct_fields__)
# The units of docs/protocols/link.md.
_UNITS: Final = {"free_heap": "B", "rssi": "dBm", "temperature": "°C", "battery": "V"}
_SUFFIXES: Final = {
    "c": "°C", "v": "V", "mv": "mV", "ma": "mA", "mw": "mW", "percent": "%", "pct": "%", "hpa": "hPa", "lux": "lx",
    "ms": "ms", "s": "s", "hz": "Hz", "mm": "mm", "cm": "cm", "ppm": "ppm", "bytes": "B", "dbm": "dBm",
}  # fmt: skip

Reason: TypeAlias = Literal["rate", "series", "name", "own", "number", "range", "store", "clock"]
REASONS: Final[dict[Reason, str]] = {
    "rate": f"more than {POINTS_A_SECOND:g} values a second",
    "series": "more series than there is room for",
    "name": f"a name that is not 1 to {MAX_KEY_CHARS} of A-Z a-z 0-9 _ . / -",
    "own": "a program's reading with a name of the board's own telemetry",
    "number": "no finite number",
    "range": "a number that no board can have",
    "store": "the store did not take them in time",
    "clock": "this machine's clock is not set",
}


class Series(Struct, frozen=True, kw_only=True):
    key: str
    unit: str
    points: tuple[Bucket, ...]


class History(Struct, frozen=True, kw_only=True):
    """`source`: what the points are made of."""

    since_ms: int
    until_ms: int
    bucket_ms: int
    source: Source
    series: tuple[Series, ...]


class TelemetryHistory:
    """The telemetry of all devices.

    `add_message` is quick and never waits; `flush` writes the values since then. `refused` counts the refused values.
    """

    def __init__(
        self,
        table: TelemetryTable,
        downsampling: Downsampling,
        devices: Registry,
        *,
        now_ms: Callable[[], int],
        monotonic_s: Callable[[], float],
    ) -> None:
        self._table = table
        self._downsampling = downsampling
        self.devices = devices
        self._now_ms = now_ms
        self._monotonic_s = monotonic_s
        self._waiting: list[Point] = []
        self._flushing = asyncio.Lock()
        self._rates: dict[str, RateLimit] = {}
        self._last: dict[str, dict[str, Point]] = {}
        self._refused: dict[str, Counter[Reason]] = {}

    def add_message(self, endpoint: str, message: Telemetry) -> None:
        """Keep the values of a device's `telemetry` message, and count the refused ones."""
        device = self.devices.owner_of(endpoint)
        if device is None:
            return
        values = {}
        for name in _FIELDS:
            value = getattr(message, name)
            if value is not None:
                values[name] = value
        self.add_values(device.device_id, values)

    def add_values(self, device_id: str, values: Mapping[str, float]) -> None:
        """Keep values of a device by the names of their series, and count the refused ones."""
        at_ms = self._now_ms()
        points = []
        for name, value in values.items():
            point = self._point(device_id, name, value, at_ms)
            if point is not None:
                points.append(point)
        room = MAX_WAITING - len(self._waiting)
        self._waiting += points[:room]
        if points[room:]:
            self._refuse(device_id, "store", len(points[room:]))

    def count_impossible(self, endpoint: str, count: int) -> None:
        """Count values of a device's `telemetry` that no board can have."""
        device = self.devices.owner_of(endpoint)
        if device is not None:
            self._refuse(device.device_id, "range", count)

    def reading(self, device_id: str, key: str, value: float | str, at_ms: int) -> Point | None:
        """Return the point of a program's reading; None, and count it, if it is refused.

        It must be a number, and its name must not be one of the board's own telemetry.
        """
        if key.lower() in _OWN:
            self._refuse(device_id, "own")
            return None
        return self._point(device_id, key, value, at_ms)

    async def flush(self) -> None:
        """Write the waiting values into the store. After a StoreError they still wait."""
        async with self._flushing:
            points = self._waiting[:]
            if points:
                refused = await self._table.append(points)
                del self._waiting[: len(points)]
                self.count_without_room(refused)

    def count_without_room(self, refused: Counter[str]) -> None:
        """Count the points, by device, whose series had no room."""
        for device_id, count in refused.items():
            self._refuse(device_id, "series", count)

    async def downsample(self) -> None:
        """Downsample old values, in steps, and forget removed devices."""
        device_ids = {device.device_id for device in self.devices.list()}
        for facts in (self._rates, self._last, self._refused):
            for device_id in facts.keys() - device_ids:
                del facts[device_id]
        while True:
            if not await self._downsampling.step(self._now_ms()):
                return
            await asyncio.sleep(STEP_PAUSE_S)

    # Reading

    async def keys(self, device: Device, key: str | None = None) -> tuple[str, ...]:
        """Return the names of a device's series, or only `key`. Raises UnknownName."""
        await self.flush()
        keys = await self._table.keys(device.device_id)
        if key is None:
            return keys
        if key not in keys:
            if keys:
                step = f"{device.name} has {', '.join(keys)}"
            else:
                step = f"{device.name} sent no telemetry yet"
            raise UnknownName(f"there is no series {key!r:.80}", next_step=step)
        return (key,)

    async def read(self, device_id: str, keys: Sequence[str], since_ms: int, until_ms: int, points: int) -> History:
        """Return up to `points` buckets of each series, and up to MAX_POINTS of all, as fine as they are stored."""
        await self.flush()
        points = max(2, min(points, MAX_POINTS // max(1, len(keys))))
        source, bucket_ms = resolution(since_ms, until_ms, points, self._now_ms())
        since_ms = floor_ms(since_ms, bucket_ms)
        buckets_by_key = await self._table.read(
            device_id, keys, since_ms=since_ms, until_ms=until_ms, bucket_ms=bucket_ms, source=source
        )
        series = tuple(Series(key=key, unit=unit_of(key), points=buckets) for key, buckets in buckets_by_key.items())
        return History(since_ms=since_ms, until_ms=until_ms, bucket_ms=bucket_ms, source=source, series=series)

    def last(self, device_id: str) -> list[LastValue]:
        """Return the last value of each series that had one since the host started, sorted by name."""
        last = sorted(self._last.get(device_id, {}).values(), key=lambda point: point.key)
        return [
            LastValue(key=point.key, unit=unit_of(point.key), value=point.value, at_ms=point.at_ms) for point in last
        ]

    def recent(self) -> Iterator[tuple[str, str, float]]:
        """Yield device, series and last value, if it is recent, of up to MAX_RECENT series; for /metrics."""
        oldest_ms = self._now_ms() - RECENT_MS
        for device in self.devices.list():
            fresh = [value for value in self.last(device.device_id) if value.at_ms >= oldest_ms]
            for value in fresh[:MAX_RECENT]:
                yield device.name, value.key, value.value

    def refused(self, device_id: str) -> dict[Reason, int]:
        """Return how many values of a device were refused since the host started, by reason."""
        return dict(self._refused.get(device_id, {}))

    # Private

    def _point(self, device_id: str, key: str, value: float | str, at_ms: int) -> Point | None:
        number = _number(value)
        reason = self._fault(device_id, key, number, at_ms)
        if number is None or reason is not None:
            self._refuse(device_id, reason or "number")
            return None
        last = self._last.setdefault(device_id, {})
        before = last.get(key)
        if before is not None and at_ms <= before.at_ms < at_ms + 1_000:
            # Several values in one millisecond are stored separately.
            at_ms = before.at_ms + 1
        point = Point(device_id, key, at_ms, number)
        if before is not None or len(last) < 2 * MAX_SERIES:
            last[key] = point
        return point

    def _fault(self, device_id: str, key: str, number: float | None, at_ms: int) -> Reason | None:
        if number is None:
            return "number"
        if not _KEY.fullmatch(key):
            return "name"
        if at_ms < OLDEST_CLOCK_MS:
            return "clock"
        now_s = self._monotonic_s()
        rate = self._rates.setdefault(device_id, RateLimit(POINTS_A_SECOND, POINTS_AT_ONCE, now_s))
        return None if rate.allows(now_s) else "rate"

    def _refuse(self, device_id: str, reason: Reason, count: int = 1) -> None:
        self._refused.setdefault(device_id, Counter())[reason] += count


def resolution(since_ms: int, until_ms: int, points: int, now_ms: int) -> tuple[Source, int]:
    """Return the finest source that covers the beginning of a time, and a bucket's length for this many points."""
    wanted_ms = -(-(until_ms - since_ms) // points)
    if since_ms < now_ms - MINUTES_MS or wanted_ms >= HOUR_MS:
        return "hours", _multiple(wanted_ms, HOUR_MS)
    if since_ms < now_ms - RAW_MS or wanted_ms >= MINUTE_MS:
        return "minutes", _multiple(wanted_ms, MINUTE_MS)
    return "raw", _multiple(wanted_ms, 1_000)


def csv_lines(device: str, series: Iterable[Series]) -> str:
    """Return the lines of these series, without the head."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for row in series:
        for point in row.points:
            at = datetime.fromtimestamp(point.at_ms / 1000, UTC).isoformat(timespec="milliseconds")
            values = (point.low, point.high, point.mean, point.count)
            writer.writerow((at.replace("+00:00", "Z"), device, row.key, row.unit, *values))
    return out.getvalue()


def unit_of(key: str) -> str:
    """Return the unit of a series: of the link's own, or by its name as in `soil_percent`; "" if unknown."""
    unit = _UNITS.get(key) or _reading_units().get(key.rpartition("/")[2])
    if unit is not None:
        return unit
    return _SUFFIXES.get(key.lower().rpartition("_")[2] if "_" in key else "", "")


@functools.cache
def _reading_units() -> Mapping[str, str]:
    """Return the units of what parts measure, by the fields of readings ("temperature_c")."""
    return {quantity.reading: quantity.unit for quantity in quantities().values()}


def _number(value: float | str) -> float | None:
    if isinstance(value, str):
        text = value.strip()
        if not _NUMBER.fullmatch(text):
            return None
        value = float(text)
    number = float(value)
    return number if math.isfinite(number) and abs(number) <= MAX_VALUE else None


def _multiple(wanted_ms: int, step_ms: int) -> int:
    return max(1, -(-wanted_ms // step_ms)) * step_ms
