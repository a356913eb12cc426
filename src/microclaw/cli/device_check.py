"""`microclaw device check`: reaches a board now and says how it is. It changes nothing there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import click
from click.exceptions import Exit
from msgspec import to_builtins

from microclaw.apps.device_calls import check as check_device
from microclaw.cli.options import GlobalOptions
from microclaw.cli.targets import endpoint_of, is_address
from microclaw.devices.examine import CheckLine, Examination, examine
from microclaw.link_server.device_facts import NEVER_REACHED, DeviceFacts


@click.command()
@click.argument("target", metavar="NAME|ADDRESS", help="A device of the host, or HOST:PORT, serial:... without one.")
@click.option("--board", help="With an address: the board's profile, to compare the chip with.")
@click.pass_obj
def check(options: GlobalOptions, target: str, board: str | None) -> None:
    """Reach a board now, by each of its addresses: what it is, how it is, and what to do. Exit code 1: a problem."""
    if is_address(target):
        options.only_here(f"a check of {target}")
        found = asyncio.run(_check_at(target, board))
    else:
        found = options.host().call(check_device, device=target)
    if not options.wrote_json("check", to_builtins(found)):
        show_check(options, found.lines)
    if not found.ok:
        raise Exit(1)


def show_check(options: GlobalOptions, lines: Iterable[CheckLine]) -> None:
    terminal = options.terminal()
    for line in lines:
        terminal.row(line.part, line.text, right="" if line.ok else "problem", bad=not line.ok)
        if line.next_step:
            terminal.row("", f"next: {line.next_step}")


def report_added(options: GlobalOptions, device: DeviceFacts, text: str) -> None:
    """Ask a device that was just added, and say whether it was reached, with each problem."""
    found = options.host().call(check_device, device=device.name)
    more = {"never_reached": not found.reached, "check": to_builtins(found)}
    options.report("device", to_builtins(device) | more, text)
    if options.json:
        return
    if not found.reached:
        options.say(f"{device.name} is kept, and was {NEVER_REACHED}")
    show_check(options, [line for line in found.lines if line.part in ("reach", "console") or not line.ok])


def only_board(options: GlobalOptions) -> str:
    """The port of the one board on a cable here; ConfigError when there is none, or several."""
    from microclaw.transports.serial_survey import only_board_port

    if options.address() is not None:
        raise click.BadParameter("auto looks at this machine's ports; name the one of that host: --console PATH")
    return only_board_port()


async def _check_at(target: str, board_id: str | None) -> Examination:
    from microclaw.boards import load_board
    from microclaw.bus import Bus
    from microclaw.devices.device import QUEUE_DEPTH, Device
    from microclaw.transports.open import open_transport

    board = load_board(board_id or "virtual")
    transport = open_transport(endpoint_of(target), board)
    async with Bus() as bus:
        device = Device(device_id="d-direct", name=target, board=board, labels=(), transports=(transport,), bus=bus)
        async with bus.serve(device.subject, device.handle, depth=QUEUE_DEPTH):
            try:
                return await examine(device, knows_board=board_id is not None)
            finally:
                await device.close()
