"""`microclaw device show NAME --plot` and `--csv`: what a device measured, drawn in the terminal or as a file."""

from __future__ import annotations

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
from microclaw.telemetry.history import CSV_HEAD, Series, csv_lines
from microclaw.telemetry.operations import Telemetry, show
from microclaw.terminal.page import WIDTH, columns_of
from microclaw.text import moment_text

ALL_POINTS: Final = 10_000  # as many as the host gives
DEFAULT_SINCE: Final = "2h"
WIDEST: Final = 160
BARS: Final = "▁▂▃▄▅▆▇█"


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
    yield CSV_HEAD
    for one in keys:
        found = host.call(show, name=name, key=one, since=from_ms, points=ALL_POINTS)
        yield csv_lines(found.device, found.series)


def _plot(options: GlobalOptions, found: Telemetry) -> None:
    if not found.series:
        options.say(f"{found.device} sent no telemetry yet; devices on the link do, each half minute")
    columns = min(WIDEST, (columns_of(sys.stdout) or WIDTH) - 1)
    for series in found.series:
        for line in plot_lines(series, found, columns):
            options.line(line)
    for refused in found.refused:
        options.say(refused.text)


def plot_lines(series: Series, found: Telemetry, columns: int) -> list[str]:
    """Its name and range, a bar for each stretch of the time (none where no value came), and that time."""
    name, unit = f"{found.device} {series.key}", f" {series.unit}".rstrip()
    times = moment_text(found.since_ms), moment_text(found.until_ms)
    if not series.points:
        return [f"{name}: no values from {times[0]} to {times[1]}"]
    low, high = min(one.low for one in series.points), max(one.high for one in series.points)
    stretches: list[list[float]] = [[] for _ in range(columns)]
    for one in series.points:
        at = (one.at_ms - found.since_ms) * columns // max(1, found.until_ms - found.since_ms)
        stretches[min(columns - 1, max(0, at))].append(one.mean)
    shares = [(sum(few) / len(few) - low) / ((high - low) or 1) if few else None for few in stretches]
    bars = (" " if share is None else BARS[round(min(1.0, max(0.0, share)) * 7)] for share in shares)
    facts = {"last": series.points[-1].mean, "min": low, "max": high}
    head = "   ".join(f"{what} {value:,.10g}{unit}" for what, value in facts.items())
    return [f"{name}   {head}", "".join(bars).rstrip(), f"{times[0]}{times[1]:>{columns - len(times[0])}}"]
