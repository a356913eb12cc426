"""`microclaw device check`: reaches a board now and says how it is. It changes nothing there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from microclaw.cli.call_commands import endpoint_of, is_address
from microclaw.cli.options import GlobalOptions, global_options
from microclaw.devices.examine import NEVER_REACHED, REVOKED
from microclaw.text import host_called


def check(
    ctx: typer.Context,
    target: Annotated[
        str,
        typer.Argument(
            metavar="NAME|ADDRESS",
            help="A device of the host, or HOST:PORT, serial:... without one.",
        ),
    ],
    board: Annotated[
        str | None, typer.Option("--board", help="With an address: the board's profile, to compare the chip with.")
    ] = None,
) -> None:
    """Reach a board now, by each of its addresses: what it is, how it is, and what to do. Exit code 1: a problem."""
    options = global_options(ctx)
    if is_address(target):
        options.only_here(f"a check of {target}")
        found = asyncio.run(_check_at(target, board))
    else:
        found = options.host().devices.check(target)
    if not options.wrote_json("check", found):
        show_check(options, found["lines"])
    if not found["ok"]:
        raise typer.Exit(1)


def show_check(options: GlobalOptions, lines: list[dict[str, Any]]) -> None:
    terminal = options.terminal()
    for line in lines:
        terminal.row(line["part"], line["text"], right="" if line["ok"] else "problem", bad=not line["ok"])
        if line["next_step"]:
            terminal.row("", f"next: {line['next_step']}")


def report_added(options: GlobalOptions, device: Mapping[str, Any], text: str) -> None:
    """Ask a device that was just added, and say whether it was reached, with each problem."""
    found = options.host().devices.check(device["name"])
    options.report("device", {**device, "never_reached": not found["reached"], "check": found}, text)
    if options.json:
        return
    if not found["reached"]:
        options.say(f"{device['name']} is kept, and was {NEVER_REACHED}")
    show_check(options, [line for line in found["lines"] if line["part"] in ("reach", "console") or not line["ok"]])


def only_board(options: GlobalOptions) -> str:
    """The port of the one board on a cable here; ConfigError when there is none, or several."""
    from microclaw.transports.serial_survey import only_board_port

    if options.address() is not None:
        raise typer.BadParameter("auto looks at this machine's ports; name the one of that host: --console PATH")
    return only_board_port()


def connection_text(device: dict[str, Any]) -> str:
    """ "connected", the time of the last connection, that it was never reached, or is revoked."""
    link = device["link"]
    if device.get("revoked"):
        return REVOKED
    if device["never_reached"]:
        return NEVER_REACHED
    if link is None:
        return "-"
    if link["online"]:
        return "connected" if link["host"] is None else f"connected to {host_called(link['host'])}"
    if link["last_seen_ms"] is None:
        return "never seen"
    ago_s = max(0, int(time.time() - link["last_seen_ms"] / 1000))
    days, hours, minutes = ago_s // 86_400, ago_s // 3_600, ago_s // 60
    ago = f"{days} d" if days else f"{hours} h" if hours else f"{minutes} min" if minutes else f"{ago_s} s"
    return f"seen {ago} ago"


async def _check_at(target: str, board_id: str | None) -> dict[str, Any]:
    from microclaw.boards import load_board
    from microclaw.bus import Bus
    from microclaw.devices.device import QUEUE_DEPTH, Device
    from microclaw.devices.examine import examine
    from microclaw.transports.open import open_transport

    board = load_board(board_id or "virtual")
    transport = open_transport(endpoint_of(target), board)
    async with Bus() as bus:
        device = Device(device_id="d-direct", name=target, board=board, labels=(), transports=(transport,), bus=bus)
        async with bus.serve(device.subject, device.handle, depth=QUEUE_DEPTH):
            try:
                return (await examine(device, knows_board=board_id is not None)).to_json()
            finally:
                await device.close()
