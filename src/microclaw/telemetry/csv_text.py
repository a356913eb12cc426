"""Telemetry as CSV: one line for each stretch of time, its beginning as UTC. It reads no store."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, TypeAlias

from microclaw.telemetry.history import History, unit_of

HEAD: Final = ("time", "device", "key", "unit", "min", "max", "mean", "count")
Row: TypeAlias = tuple[object, ...]


def csv_row(at_ms: int, device: str, key: str, unit: str, values: tuple[object, object, object, object]) -> Row:
    """`values` are the least, the most, the mean and how many."""
    at = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return at.replace("+00:00", "Z"), device, key, unit, *values


def csv_text(device: str, history: Iterable[History]) -> str:
    """A file with every series, the head first."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEAD)
    for found in history:
        for key, buckets in found.series.items():
            unit = unit_of(key)
            writer.writerows(
                csv_row(one.at_ms, device, key, unit, (one.low, one.high, one.mean, one.count)) for one in buckets
            )
    return out.getvalue()
