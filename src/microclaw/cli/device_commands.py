"""The commands of `microclaw device` that are more than an act: files and ports here, passwords, and drawing."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer
from msgspec import to_builtins

from microclaw.apps import device_operations as devices
from microclaw.apps.device_calls import check as check_device
from microclaw.cli.discover_command import discover
from microclaw.cli.firmware_option import FirmwareOption, firmware_words
from microclaw.cli.operation_commands import perform
from microclaw.cli.operation_commands import show as show_result
from microclaw.cli.options import GlobalOptions, NobodyToAsk, command_group, global_options
from microclaw.cli.secret_value import wifi_password
from microclaw.cli.targets import endpoint_of, is_address
from microclaw.cli.telemetry_command import show_telemetry
from microclaw.devices.examine import Examination, examine
from microclaw.durable import write_private
from microclaw.link_server import operations as links

device_group = command_group()
device_group.command("discover")(discover)


@device_group.command("show")
def show(
    ctx: typer.Context,
    name: str,
    key: Annotated[str | None, typer.Argument(metavar="[KEY]", help="One series, to --plot or --csv.")] = None,
    plot: Annotated[bool, typer.Option("--plot", help="Draw what it measured.")] = False,
    file: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="Write what it measured to a new file; - is the output."),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="WHEN", help="From then on: 30m, 2h (the default), 7d, or a day.")
    ] = None,
) -> None:
    """Show one device: its transports, what it can do, what its board is; or what it measured."""
    options = global_options(ctx)
    if plot or file is not None:
        show_telemetry(options, name, key, since, file)
    elif key is not None or since is not None:
        raise typer.BadParameter("a series and --since are for --plot or --csv FILE")
    else:
        perform(options, devices.show_device, {"device": name})


@device_group.command("check")
def check(
    ctx: typer.Context,
    target: Annotated[
        str, typer.Argument(metavar="NAME|ADDRESS", help="A device of the host, or HOST:PORT, serial:... without one.")
    ],
) -> None:
    """Reach a board now, by each of its addresses: what it is, how it is, and what to do. Exit code 1: a problem."""
    options = global_options(ctx)
    if not is_address(target):
        perform(options, check_device, {"device": target})
        return
    options.only_here(f"a check of {target}")
    show_result(options, check_device, asyncio.run(_check_at(target)))


async def _check_at(target: str) -> Examination:
    from microclaw.boards import load_board
    from microclaw.bus import Bus
    from microclaw.devices.device import QUEUE_DEPTH, Device
    from microclaw.transports.open import open_transport

    board = load_board("virtual")
    transport = open_transport(endpoint_of(target), board)
    async with Bus() as bus:
        device = Device(device_id="d-direct", name=target, board=board, labels=(), transports=(transport,), bus=bus)
        async with bus.serve(device.subject, device.handle, depth=QUEUE_DEPTH):
            try:
                return await examine(device, knows_board=False)
            finally:
                await device.close()


@device_group.command("add")
def add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="What it is called.")],
    board: Annotated[
        str | None, typer.Option("--board", help="The board's profile; a virtual board's is virtual.")
    ] = None,
    wasmachine: Annotated[
        str | None, typer.Option("--wasmachine", metavar="HOST:PORT", help="Where its WASMachine listens.")
    ] = None,
    serial: Annotated[
        str | None, typer.Option("--serial", metavar="PATH|COM3|usb-VID:PID:SERIAL", help="Its JSON line port.")
    ] = None,
    console: Annotated[
        str | None,
        typer.Option(
            "--console",
            metavar="auto|PATH|COM3|usb-VID:PID:SERIAL",
            help="Where its serial console is, to read: microclaw logs NAME --console.",
        ),
    ] = None,
    virtual: Annotated[
        str | None, typer.Option("--virtual", metavar="SOCKET", help="A virtual board's control.")
    ] = None,
    firmware: FirmwareOption = None,
) -> None:
    """Add a device by its addresses, or more addresses, or what its firmware has, to a device that is there."""
    given = {"wasmachine://": wasmachine, "serial:": serial, "console:": console, "virtual:": virtual}
    transports = [prefix + address for prefix, address in given.items() if address]
    if not transports and firmware is None:
        raise typer.BadParameter("give an address: --wasmachine, --serial, --console or --virtual")
    words = None if firmware is None else list(firmware_words(firmware))
    values = {"name": name, "board": board, "transports": transports, "firmware": words}
    perform(global_options(ctx), devices.add_device, values)


@device_group.command("wifi")
def wifi(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The device.")],
    ssid: Annotated[str | None, typer.Argument(help="The network; none: list those that it knows.")] = None,
    password: Annotated[
        str | None, typer.Option("--password", metavar="@FILE|-", help="From a file or stdin; none: asked.")
    ] = None,
    is_open: Annotated[bool, typer.Option("--open", help="The network has no password.")] = False,
    later: Annotated[bool, typer.Option("--later", help="Only note it: a network that is not there yet.")] = False,
    forget: Annotated[bool, typer.Option("--forget", help="The device is to forget this network.")] = False,
) -> None:
    """Another Wi-Fi for a device: it is tried, and the former one counts again if this host is not reached over it."""
    options = global_options(ctx)
    if ssid is None and (is_open or later or forget or password is not None):
        raise typer.BadParameter("name the network, too")
    if is_open + forget + (password is not None) > 1 or (later and forget):
        raise typer.BadParameter("--open, --password and --forget exclude each other, --later and --forget too")
    if ssid is None:
        perform(options, links.list_wifi, {"device": name})
        return
    secret = None if is_open or forget else _password(ssid, password)
    values = {"device": name, "ssid": ssid, "password": secret, "later": later, "forget": forget}
    perform(options, links.set_wifi, values)


def _password(ssid: str, source: str | None) -> str:
    if source is not None:
        return wifi_password(source, "--password")
    if not sys.stdin.isatty():
        step = "give --password @FILE, or --open; or run it at a terminal and type it there"
        raise NobodyToAsk("nobody is at a terminal to be asked for the password", step)
    return str(typer.prompt(f"Password of {ssid}", hide_input=True, err=True))


@device_group.command("provision")
def provision(
    ctx: typer.Context,
    name: Annotated[
        str | None, typer.Argument(help="What the device is to be called, or a known device; none with --batch.")
    ] = None,
    board: Annotated[
        str | None, typer.Option("--board", help="The board's profile; a board of another profile is refused.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", metavar="PATH", help="Write it there, 0600.")] = None,
    qr: Annotated[bool, typer.Option("--qr", help="Show it as a QR code.")] = False,
    no_secret: Annotated[bool, typer.Option("--no-secret", help="For a device that shows a pairing code.")] = False,
    host: Annotated[
        str | None, typer.Option("--address", metavar="HOST", help="How the device reaches this host.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option("--batch", metavar="N", min=1, max=500, help="For N devices; needs --out.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="CSV", help="With --batch: their table, 0600.")] = None,
    prefix: Annotated[
        str, typer.Option("--prefix", help="With --batch: of their names, before the number.")
    ] = "board-",
    days: Annotated[int, typer.Option("--days", min=1, max=366, help="With --batch: how long it is good.")] = 90,
    force: Annotated[bool, typer.Option("--force", help="With --batch: write over files that are there.")] = False,
) -> None:
    """Print what a device needs to trust this host and be paired: as text, file or QR code; --batch for many."""
    options = global_options(ctx)
    if batch is not None:
        if out is None or name is not None or file is not None or qr or no_secret:
            raise typer.BadParameter("--batch N takes --out CSV, and no NAME, --file, --qr, --no-secret")
        from microclaw.cli.provision_batch import provision_many

        asked = {"count": batch, "name": prefix, "board": board, "host": host, "days": days}
        provision_many(options, asked, out, force=force)
        return
    if name is None or out is not None:
        raise typer.BadParameter("give a NAME; or for many devices --batch N --out CSV")

    def given(options: GlobalOptions, made: links.Provisioned) -> None:
        if file is not None:
            write_private(file, made.given.to_json().encode())
        options.end_with_json("provision", to_builtins(made))
        show_result(options, links.provision, made)
        if qr:
            options.line(made.given.qr())
        if file is not None:
            options.say(f"written to {file}: whoever reads it can become this device")

    values = {"name": name, "board": board, "secret": not no_secret, "host": host}
    perform(options, links.provision, values, end=given)
