"""`microclaw logs`: what a device's programs print, the newest or since a time. The host keeps the lines."""

from __future__ import annotations

import time
from collections import deque
from typing import Annotated, Any, Final

import typer

from microclaw.cli.audit_command import since_ms
from microclaw.cli.options import GlobalOptions, global_options
from microclaw.errors import ConfigError
from microclaw.host_client.request import segment
from microclaw.text import one_line

FOLLOW_S: Final = 0.2
MAX_TAIL: Final = 100_000


def logs(
    ctx: typer.Context,
    target: Annotated[str, typer.Argument(metavar="DEVICE[/APP]")],
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as lines come, until Ctrl-C.")] = False,
    tail: Annotated[
        int | None, typer.Option("--tail", metavar="N", min=0, max=MAX_TAIL, help="Only the newest N lines.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="WHEN", help="Only lines that came since then: 30s, 10m, 12h, 7d, or a day."),
    ] = None,
) -> None:
    """Show what a device's programs print."""
    options = global_options(ctx)
    from_ms = None if since is None else since_ms(since)
    host = options.host()
    device, _, app = target.partition("/")
    kept: deque[dict[str, Any]] = deque(maxlen=tail)
    cursor, is_new = 0, False  # of what is there already the choice is made first
    while True:
        page = host.get(f"/v1/devices/{segment(device)}/logs", {"cursor": cursor})
        if page["dropped"] and (is_new or (tail is None and from_ms is None)):
            options.say(f"({page['dropped']:,} {'' if cursor else 'older '}lines were lost)")
        kept.extend(line for line in page["lines"] if not app or line["app"] == app)
        is_end, cursor = page["cursor"] == cursor, page["cursor"]
        if is_new or tail is None or is_end:
            for line in kept:
                if is_new or from_ms is None or _came_ms(line, device) >= from_ms:
                    _log_line(options, line)
            kept.clear()
        if is_end and not follow:
            return
        if is_end and not is_new:
            kept, is_new = deque(), True
        if is_end:
            time.sleep(FOLLOW_S)


def _came_ms(line: dict[str, Any], device: str) -> int:
    """When a line reached the host. ConfigError where that is not known: its board's time has no date."""
    at_ms = line["at_ms"]
    if not isinstance(at_ms, int):
        raise ConfigError(
            f"when the lines of {device} came is not known: its way in tells the board's own time, which has no date",
            next_step=f"leave --since out; the newest lines: microclaw logs {device} --tail 20",
        )
    return at_ms


def _log_line(options: GlobalOptions, line: dict[str, Any]) -> None:
    if options.wrote_json("log", line):
        return
    app = line["app"] or "board"
    options.line(one_line(f"{line['t_ms'] / 1000:10.3f}  {app:<12} {line['text'].rstrip()}"))
