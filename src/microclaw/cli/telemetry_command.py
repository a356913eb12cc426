"""`microclaw device show NAME --plot` and `--csv`: what a device measured, drawn in the terminal or as a file."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import msgspec

from microclaw.cli.audit_command import since_ms
from microclaw.cli.options import GlobalOptions
from microclaw.durable import write_given
from microclaw.operations.client import Client
from microclaw.telemetry.csv_text import HEAD, csv_lines
from microclaw.telemetry.operations import Telemetry, show
from microclaw.terminal.plot import PlotPoint, draw_plot

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
    elif str(file) == "-":
        sys.stdout.writelines(_csv(host, name, key, from_ms))
    else:  # it is there only once all of them came, and none is replaced
        write_given(file, map(str.encode, _csv(host, name, key, from_ms)))
        options.say(f"written to {file}")


def _csv(host: Client, name: str, key: str | None, from_ms: int) -> Iterator[str]:
    """The head, then the lines of each series."""
    keys = [key] if key else [one.key for one in host.call(show, name=name, since=from_ms, points=2).series]
    yield HEAD
    for one in keys:
        found = host.call(show, name=name, key=one, since=from_ms, points=ALL_POINTS)
        yield csv_lines(found.device, found.series)


def _plot(options: GlobalOptions, found: Telemetry) -> None:
    if not found.series:
        options.say(f"{found.device} sent no telemetry yet; devices on the link do, each half minute")
    columns = min(WIDEST, shutil.get_terminal_size((80, 24)).columns - 1)
    for series in found.series:
        lines = draw_plot(
            [PlotPoint(one.at_ms, one.low, one.high, one.mean) for one in series.points],
            title=f"{found.device} {series.key}",
            unit=series.unit,
            since_ms=found.since_ms,
            until_ms=found.until_ms,
            columns=columns,
            rows=ROWS if len(found.series) == 1 else ROWS_OF_MANY,
        )
        options.line("\n".join(lines))
    for refused in found.refused:
        options.say(refused.text)
