"""`microclaw device discover`: who is on the network and on serial ports. It needs no host and adds nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from ipaddress import IPv4Network

from microclaw.cli.many_devices import known_devices
from microclaw.cli.options import GlobalOptions
from microclaw.config.places import cache_folder
from microclaw.errors import NoHost
from microclaw.text import one_line
from microclaw.transports.discovery import DiscoveredService, browse
from microclaw.transports.open import tcp_address
from microclaw.transports.serial_survey import survey_ports
from microclaw.transports.subnet_probe import PORTS, parse_subnet, probe_subnet
from microclaw.transports.wasmachine import SCHEME

SHOWN_FACT_CHARS = 24


def discover(options: GlobalOptions, subnet: str | None, for_s: float, interface: Sequence[str], *, ask: bool) -> None:
    """Show what is found, and by which name the host knows it."""
    network = None if subnet is None else parse_subnet(subnet)
    known = _known_names(options)
    found = asyncio.run(_search(network, for_s, interface, known, ask=ask))
    rows = [(each, known.get(_endpoint(each))) for each in found]
    keys = ("kind", "name", "address", "port")
    listed = [{key: getattr(e, key) for key in keys} | {"facts": dict(e.facts), "known_as": name} for e, name in rows]
    options.end_with_json("discover", {"found": listed})
    options.table(
        [(e.kind, e.name, _place(e), _facts(e), name or "") for e, name in rows],
        head=("KIND", "NAME", "ADDRESS", "SAYS", "KNOWN AS"),
        empty="nobody announced itself",
    )
    if not any(each.kind == "wasmachine" for each in found):
        step = "one that listens elsewhere: microclaw device add NAME --wasmachine HOST:PORT"
        at = f"ports {' and '.join(map(str, PORTS))}; {step}"
        asked = f"at {network}, {at}" if network else "was asked for: --subnet 192.168.1.0/24"
        options.say(f"no WASMachine board {asked}")


async def _search(
    network: IPv4Network | None, for_s: float, interfaces: Sequence[str], known: dict[str, str], *, ask: bool
) -> list[DiscoveredService]:
    """Search each way at once; an error of one ends the others. The host's own boards are asked at their own ports."""
    locks = cache_folder(os.environ) / "locks"
    ways = [browse(for_s, interfaces=interfaces or None), survey_ports(locks, ask=ask)]
    if network is not None:
        also = [place for one in known if one.startswith(SCHEME) and (place := tcp_address(one)) is not None]
        ways.insert(1, probe_subnet(network, lock_folder=locks, also=also))
    return [each for found in await asyncio.gather(*ways) for each in found]


def _known_names(options: GlobalOptions) -> dict[str, str]:
    """The running host's devices by address; empty without a host."""
    try:
        devices = known_devices(options.host())
    except NoHost:
        return {}
    return {transport: device.name for device in devices for transport in device.transports}


def _endpoint(found: DiscoveredService) -> str:
    """As the host names it, where it has it."""
    return found.name if found.kind == "serial" else f"{SCHEME}{_place(found)}" if found.kind == "wasmachine" else ""


def _place(found: DiscoveredService) -> str:
    return found.address if found.kind == "serial" else f"{found.address}:{found.port}"


def _facts(found: DiscoveredService) -> str:
    if found.kind == "serial":  # our own words, but for the id and a firmware's name
        return one_line("; ".join(value for key, value in found.facts.items() if key != "usb"))
    shown = (f"{key}={value[:SHOWN_FACT_CHARS]}" for key, value in found.facts.items() if key not in ("role", "path"))
    return " ".join(shown)
