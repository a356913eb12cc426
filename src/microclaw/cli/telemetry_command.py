"""`microclaw device show NAME --plot` and `--csv`: what a device measured, drawn in the terminal or as a file."""

from __future__ import annotations

import csv
import io
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import click
import msgspec

from microclaw.cli.audit_command import since_ms
from microclaw.cli.options import GlobalOptions
from microclaw.durable import write_given
from microclaw.link_server.device_facts import LastValue
from microclaw.telemetry.csv_text import HEAD, csv_row
from microclaw.telemetry.operations import Telemetry, show
from microclaw.terminal.plot import PlotPoint, draw_plot, number_text
from microclaw.text import format_duration

ALL_POINTS: Final = 10_000  # as many as the host gives
DEFAULT_SINCE: Final = "2h"
WIDEST: Final = 160
ROWS, ROWS_OF_MANY = 12, 6


def show_telemetry(options: GlobalOptions, name: str, key: str | None, since: str | None, file: Path | None) -> None:
    """Draw it, or write it as CSV into the file; `-` is the output."""
    if file is not None and options.json:
        raise click.BadParameter("--csv or --json, one of them")
    host, from_ms = options.host(), since_ms(since or DEFAULT_SINCE)
    if file is None:
        found = host.call(show, name=name, key=key, since=from_ms, points=2 * WIDEST)
        options.end_with_json("telemetry", msgspec.to_builtins(found))
        _plot(options, found)
        return
    keys = [key] if key else [one.key for one in host.call(show, name=name, since=from_ms, points=2).series]
    rows = csv_rows(host.call(show, name=name, key=one, since=from_ms, points=ALL_POINTS) for one in keys)
    count = _write(file, rows)
    if str(file) != "-":
        options.say(f"{count:,} lines in {file}")


def csv_rows(documents: Iterable[Telemetry]) -> Iterator[tuple[object, ...]]:
    """A line for each stretch of time, its beginning as UTC."""
    for found in documents:
        for series in found.series:
            for point in series.points:
                values = (point.low, point.high, point.mean, point.count)
                yield csv_row(point.at_ms, found.device, series.key, series.unit, values)


def last_text(last: list[LastValue]) -> str:
    """The last value of each series in a line, and how old the newest is."""
    values = [f"{one.key} {number_text(one.value, abs(one.value) / 1_000)} {one.unit}" for one in last]
    age_ms = max(0.0, time.time() * 1000 - max(one.at_ms for one in last))
    return f"{', '.join(map(str.strip, values))} ({format_duration(age_ms)} ago)"


def _plot(options: GlobalOptions, found: Telemetry) -> None:
    if not found.series:
        options.say(f"{found.device} sent no telemetry yet; devices on the link do, each half minute")
    columns = min(WIDEST, shutil.get_terminal_size((80, 24)).columns - 1)
    for number, series in enumerate(found.series):
        if number:
            options.line()
        lines = draw_plot(
            [PlotPoint(one.at_ms, one.low, one.high, one.mean) for one in series.points],
            title=f"{found.device} {series.key}",
            unit=series.unit,
            since_ms=found.since_ms,
            until_ms=found.until_ms,
            columns=columns,
            rows=ROWS if len(found.series) == 1 else ROWS_OF_MANY,
        )
        for line in lines:
            options.line(line)
    for refused in found.refused:
        options.say(refused.text)


def _write(file: Path, rows: Iterator[tuple[object, ...]]) -> int:
    """How many rows that were. A file is there only once all of them came, and none is replaced."""
    count = 0

    def lines() -> Iterator[str]:
        nonlocal count
        yield _line(HEAD)
        for row in rows:
            count += 1
            yield _line(row)

    if str(file) == "-":
        sys.stdout.writelines(lines())
    else:
        write_given(file, map(str.encode, lines()))
    return count


def _line(row: Iterable[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(row)
    return text.getvalue()
