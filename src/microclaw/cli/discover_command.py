"""`microclaw discover`: who is on the network and on serial ports. It needs no host and adds nothing by itself."""

from __future__ import annotations

import asyncio
import os
from ipaddress import IPv4Network
from typing import Annotated, Any

import typer

from microclaw.cli.options import GlobalOptions, global_options
from microclaw.config.places import cache_folder
from microclaw.errors import NoHost
from microclaw.text import one_line
from microclaw.transports.discovery import DiscoveredService, browse
from microclaw.transports.serial_survey import survey_ports
from microclaw.transports.subnet_probe import PORTS, parse_subnet, probe_subnet

MAX_FOR_S = 60.0
SHOWN_FACT_CHARS = 24


def discover(
    ctx: typer.Context,
    subnet: Annotated[
        str | None, typer.Option("--subnet", metavar="192.168.1.0/24", help="Also ask each address for WASMachine.")
    ] = None,
    for_s: Annotated[
        float, typer.Option("--for", metavar="SECONDS", min=0.1, max=MAX_FOR_S, help="How long to listen.")
    ] = 3.0,
    interface: Annotated[
        list[str] | None, typer.Option("--interface", metavar="ADDRESS", help="Only there; an address of this machine.")
    ] = None,
    ask: Annotated[
        bool,
        typer.Option("--ask", help="Also open each serial port and ask who is there. Opening may restart a board."),
    ] = False,
    port: Annotated[
        list[int] | None, typer.Option("--port", min=1, max=65535, help="With --subnet: instead of 8080 and 18080.")
    ] = None,
) -> None:
    """Find who is on the network, and on this machine's serial ports.

    Microclaw hosts and devices, ESPHome, xiaozhi and MCP servers announce themselves; WASMachine boards are asked, on
    a subnet that you name. Serial ports are listed with what their USB ids suggest, and opened only with --ask.
    """
    options = global_options(ctx)
    network = None if subnet is None else parse_subnet(subnet)
    if port and network is None:
        raise typer.BadParameter("--port goes with --subnet")
    if network is not None:
        options.say(f"asking {network}")
    found = asyncio.run(_search(for_s, interface, network, port, ask=ask))
    known = _known_names(options)
    rows = [(each, known.get(_endpoint(each))) for each in found]
    options.end_with_json("discover", {"found": [_object(each, name) for each, name in rows]})
    options.table(
        [(e.kind, e.name, _place(e), _facts(e), name or "") for e, name in rows],
        head=("KIND", "NAME", "ADDRESS", "SAYS", "KNOWN AS"),
        empty="nobody announced itself." if network else "nobody announced itself. Boards: --subnet 192.168.1.0/24",
    )


async def _search(
    for_s: float, interfaces: list[str] | None, network: IPv4Network | None, ports: list[int] | None, *, ask: bool
) -> list[DiscoveredService]:
    """Search both ways at once; an error of one ends the other."""
    from microclaw.boards import load_board

    locks = cache_folder(os.environ) / "locks"
    if network is None:
        announced, serial = await asyncio.gather(browse(for_s, interfaces=interfaces), survey_ports(locks, ask=ask))
        return [*announced, *serial]
    probing = probe_subnet(network, load_board("virtual"), lock_folder=locks, ports=ports or PORTS)
    announced, probed, serial = await asyncio.gather(
        browse(for_s, interfaces=interfaces), probing, survey_ports(locks, ask=ask)
    )
    return [*announced, *probed, *serial]


def _known_names(options: GlobalOptions) -> dict[str, str]:
    """The running host's devices by address; empty without a host."""
    try:
        devices = options.host().get("/v1/devices")["devices"]
    except NoHost:
        return {}
    return {transport: device["name"] for device in devices for transport in device["transports"]}


def _endpoint(found: DiscoveredService) -> str:
    if found.kind == "serial":
        return found.name
    return f"wasmachine://{found.address}:{found.port}" if found.kind == "wasmachine" else ""


def _place(found: DiscoveredService) -> str:
    return found.address if found.kind == "serial" else f"{found.address}:{found.port}"


def _facts(found: DiscoveredService) -> str:
    if found.kind == "serial":  # our own words, but for the id and a firmware's name
        return one_line("; ".join(value for key, value in found.facts.items() if key != "usb"))
    shown = (f"{key}={value[:SHOWN_FACT_CHARS]}" for key, value in found.facts.items() if key not in ("role", "path"))
    return " ".join(shown)


def _object(found: DiscoveredService, known_as: str | None) -> dict[str, Any]:
    return {
        "kind": found.kind,
        "name": found.name,
        "address": found.address,
        "port": found.port,
        "facts": dict(found.facts),
        "known_as": known_as,
    }
