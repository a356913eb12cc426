"""`microclaw device discover`: who is on the network and on serial ports. It needs no host and adds nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import click

from microclaw.cli.known_devices import known_devices
from microclaw.cli.options import GlobalOptions
from microclaw.config.places import cache_folder
from microclaw.errors import NoHost
from microclaw.text import one_line
from microclaw.transports.address import HostPort
from microclaw.transports.discovery import DiscoveredService, browse
from microclaw.transports.open import tcp_address
from microclaw.transports.serial_survey import survey_ports
from microclaw.transports.subnet_probe import PORTS, SubnetProbe, parse_subnet, probe_subnet
from microclaw.transports.wasmachine import SCHEME

MAX_FOR_S = 60.0
SHOWN_FACT_CHARS = 24


@click.command()
@click.option("--subnet", metavar="192.168.1.0/24", help="Also ask each address for WASMachine.")
@click.option(
    "--for", "for_s", default=3.0, type=click.FloatRange(0.1, MAX_FOR_S), metavar="SECONDS", help="How long to listen."
)
@click.option("--interface", multiple=True, metavar="ADDRESS", help="Only there; an address of this machine.")
@click.option(
    "--ask", is_flag=True, help="Also open each serial port and ask who is there. Opening may restart a board."
)
@click.option("--port", multiple=True, type=click.IntRange(1, 65535), help="With --subnet: instead of 8080 and 18080.")
@click.pass_obj
def discover(
    options: GlobalOptions,
    subnet: str | None,
    for_s: float,
    interface: tuple[str, ...],
    ask: bool,
    port: tuple[int, ...],
) -> None:
    """Find boards on the network and on serial ports.

    Microclaw hosts and devices, ESPHome, xiaozhi and MCP servers announce themselves; WASMachine boards are asked, on
    a subnet that you name. Serial ports are listed with what their USB ids suggest, and opened only with --ask.
    """
    network = None if subnet is None else parse_subnet(subnet)
    if port and network is None:
        raise click.BadParameter("--port goes with --subnet")
    known = _known_names(options)
    ports = tuple(port or PORTS)
    if network is not None:
        options.say(f"asking {network}")
    found, probe = asyncio.run(_search(for_s, interface, network, ports, _within(network, known), ask=ask))
    rows = [(each, known.get(_endpoint(each))) for each in found]
    asked = None if network is None or probe is None else _asked(network, ports, probe)
    keys = ("kind", "name", "address", "port")
    listed = [{key: getattr(e, key) for key in keys} | {"facts": dict(e.facts), "known_as": name} for e, name in rows]
    options.end_with_json("discover", {"found": listed, "asked": asked})
    options.table(
        [(e.kind, e.name, _place(e), _facts(e), name or "") for e, name in rows],
        head=("KIND", "NAME", "ADDRESS", "SAYS", "KNOWN AS"),
        empty="nobody announced itself." if network else "nobody announced itself. Boards: --subnet 192.168.1.0/24",
    )
    if network is not None and probe is not None:
        _say_what_was_asked(options, network, ports, probe)


def _say_what_was_asked(options: GlobalOptions, network: IPv4Network, ports: Sequence[int], probe: SubnetProbe) -> None:
    if probe.silent:
        shown = ", ".join(str(place) for place in probe.silent)
        options.say(f"open, but no WASMachine board answered there (another service, or a client has it): {shown}")
    if not probe.found:
        at = f"{'port' if len(ports) == 1 else 'ports'} {', '.join(map(str, ports))}"
        options.say(f"no WASMachine board at {network}, {at}; one that listens elsewhere: --port N")


async def _search(
    for_s: float,
    interfaces: Sequence[str],
    network: IPv4Network | None,
    ports: Sequence[int],
    known: Sequence[HostPort],
    *,
    ask: bool,
) -> tuple[list[DiscoveredService], SubnetProbe | None]:
    """Search each way at once; an error of one ends the others."""
    from microclaw.boards import load_board

    locks = cache_folder(os.environ) / "locks"

    async def probe() -> SubnetProbe | None:
        if network is None:
            return None
        return await probe_subnet(network, load_board("virtual"), lock_folder=locks, ports=ports, also=known)

    announced, probed, serial = await asyncio.gather(
        browse(for_s, interfaces=interfaces or None), probe(), survey_ports(locks, ask=ask)
    )
    return [*announced, *(probed.found if probed else ()), *serial], probed


def _within(network: IPv4Network | None, endpoints: Iterable[str]) -> list[HostPort]:
    """Where in the subnet the host has boards already, at any port."""
    places = [tcp_address(endpoint) for endpoint in endpoints if endpoint.startswith(SCHEME)]
    return [each for each in places if each is not None and network is not None and _is_in(each.host, network)]


def _is_in(host: str, network: IPv4Network) -> bool:
    try:
        return IPv4Address(host) in network
    except ValueError:  # a name, or IPv6
        return False


def _known_names(options: GlobalOptions) -> dict[str, str]:
    """The running host's devices by address; empty without a host."""
    try:
        devices = known_devices(options.host())
    except NoHost:
        return {}
    return {transport: device.name for device in devices for transport in device.transports}


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


def _asked(network: IPv4Network, ports: Sequence[int], probe: SubnetProbe) -> dict[str, Any]:
    return {"subnet": str(network), "ports": list(ports), "silent": [str(place) for place in probe.silent]}
