"""Telemetry as CSV: one line for each stretch of time, its beginning as UTC. It reads no store."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from microclaw.telemetry.history import Series

HEAD: Final = "time,device,key,unit,min,max,mean,count\n"


def csv_lines(device: str, series: Iterable[Series]) -> str:
    """The lines of these series, without the head."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for one in series:
        for point in one.points:
            at = datetime.fromtimestamp(point.at_ms / 1000, UTC).isoformat(timespec="milliseconds")
            values = (point.low, point.high, point.mean, point.count)
            writer.writerow((at.replace("+00:00", "Z"), device, one.key, one.unit, *values))
    return out.getvalue()
