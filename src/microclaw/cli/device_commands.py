"""The commands of `microclaw device` that are more than an act: files, ports, passwords, who is on the network here."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path

import click

from microclaw.apps import device_operations as devices
from microclaw.cli.many_devices import known_devices
from microclaw.cli.operation_commands import perform, show
from microclaw.cli.options import GlobalOptions, command, secret_value
from microclaw.cli.program_files import firmware_option, firmware_words
from microclaw.config.places import cache_folder
from microclaw.durable import write_private
from microclaw.errors import NoHost
from microclaw.link_server import operations as links
from microclaw.text import one_line
from microclaw.transports.discovery import DiscoveredService, browse
from microclaw.transports.open import tcp_address
from microclaw.transports.serial_survey import survey_ports
from microclaw.transports.subnet_probe import PORTS, parse_subnet, probe_subnet
from microclaw.transports.wasmachine import SCHEME

device_group = click.Group(no_args_is_help=True)
SHOWN_FACT_CHARS = 24


@command(device_group, "discover")
@click.option("--subnet", metavar="192.168.1.0/24", help="Also ask each address for WASMachine.")
@click.option("--for", "for_s", default=3.0, type=click.FloatRange(0.1, 60.0), metavar="SECONDS", help="How long.")
@click.option("--interface", multiple=True, metavar="ADDRESS", help="Only there; an address of this machine.")
@click.option("--ask", is_flag=True, help="Also open each serial port and ask; that may restart a board.")
def discover(options: GlobalOptions, subnet: str | None, for_s: float, interface: tuple[str, ...], ask: bool) -> None:
    """Find boards on the network and on serial ports.

    Microclaw hosts and devices, ESPHome, xiaozhi and MCP servers announce themselves; WASMachine boards are asked, on
    a subnet that you name. Serial ports are listed with what their USB ids suggest, and opened only with --ask.
    """
    if subnet is None:
        network = None
    else:
        network = parse_subnet(subnet)
    known: dict[str, str] = {}
    with suppress(NoHost):  # of the running host
        known = {address: one.name for one in known_devices(options.host()) for address in one.transports}
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
        if network:
            asked = f"at {network}, {at}"
        else:
            asked = "was asked for: --subnet 192.168.1.0/24"
        options.say(f"no WASMachine board {asked}")


@command(device_group, "add")
@click.argument("name", help="What it is called.")
@click.option("--board", help="The board's profile; a virtual board's is virtual.")
@click.option("--wasmachine", metavar="HOST:PORT", help="Where its WASMachine listens.")
@click.option("--serial", metavar="PATH|usb-VID:PID:SERIAL", help="Its JSON line port.")
@click.option("--console", metavar="auto|PATH|usb-VID:PID:SERIAL", help="Its serial console: logs NAME --console.")
@click.option("--virtual", metavar="SOCKET", help="A virtual board's control.")
@firmware_option
def add(options: GlobalOptions, name: str, board: str | None, firmware: tuple[str, ...], **given: str | None) -> None:
    """Add a device by its addresses, or more addresses, or what its firmware has, to a device that is there."""
    schemes = {"wasmachine": "wasmachine://", "serial": "serial:", "console": "console:", "virtual": "virtual:"}
    transports = [scheme + address for way, scheme in schemes.items() if (address := given[way])]
    if not transports and not firmware:
        raise click.BadParameter("give an address: --wasmachine, --serial, --console or --virtual")
    if firmware:
        words = list(firmware_words(firmware))
    else:
        words = None
    values = {"name": name, "board": board, "transports": transports, "firmware": words}
    perform(options, devices.add_device, values)


@command(device_group, "wifi")
@click.argument("name", help="The device.")
@click.argument("ssid", required=False, help="The network; none: list those that it knows.")
@click.option("--password", metavar="@FILE|-", help="From a file or stdin; none: asked.")
@click.option("--open", "is_open", is_flag=True, help="The network has no password.")
@click.option("--later", is_flag=True, help="Only note it: a network that is not there yet.")
@click.option("--forget", is_flag=True, help="The device is to forget this network.")
def wifi(
    options: GlobalOptions, name: str, ssid: str | None, password: str | None, is_open: bool, later: bool, forget: bool
) -> None:
    """Another Wi-Fi for a device: it is tried, and the former one counts again if this host is not reached over it."""
    if ssid is None and (is_open or later or forget or password is not None):
        raise click.BadParameter("name the network, too")
    if is_open + forget + (password is not None) > 1 or (later and forget):
        raise click.BadParameter("--open, --password and --forget exclude each other, --later and --forget too")
    if ssid is None:
        perform(options, links.list_wifi, {"device": name})
        return
    secret = None
    if not (is_open or forget):
        question = f"Password of {ssid}"
        remedy = "give --password @FILE, or --open"
        secret = secret_value("--password" if password else question, password, remedy=remedy)
    values = {"device": name, "ssid": ssid, "password": secret, "later": later, "forget": forget}
    perform(options, links.set_wifi, values)


@command(device_group, "provision")
@click.argument("name", help="What the device is to be called, or a known device.")
@click.option("--board", help="The board's profile; a board of another profile is refused.")
@click.option("--file", type=Path, metavar="PATH", help="Write it there, 0600.")
@click.option("--qr", is_flag=True, help="Show it as a QR code.")
@click.option("--no-secret", is_flag=True, help="For a device that shows a pairing code.")
@click.option("--address", "host", metavar="HOST", help="How the device reaches this host.")
def provision(
    options: GlobalOptions, name: str, board: str | None, file: Path | None, qr: bool, no_secret: bool, host: str | None
) -> None:
    """Print what a device needs to trust this host and be paired: as text, file or QR code."""
    made = options.host().call(links.provision, name=name, board=board, secret=not no_secret, host=host)
    if file is not None:
        write_private(file, made.given.to_json().encode())
    show(options, links.provision, made)
    if qr and not options.json:
        options.line(made.given.qr())
    if file is not None:
        options.say(f"written to {file}: whoever reads it can become this device")


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


def _endpoint(found: DiscoveredService) -> str:
    """As the host names it, where it has it."""
    if found.kind == "serial":
        return found.name
    if found.kind == "wasmachine":
        return f"{SCHEME}{_place(found)}"
    return ""


def _place(found: DiscoveredService) -> str:
    if found.kind == "serial":
        return found.address
    return f"{found.address}:{found.port}"


def _facts(found: DiscoveredService) -> str:
    if found.kind == "serial":  # our own words, but for the id and a firmware's name
        return one_line("; ".join(value for key, value in found.facts.items() if key != "usb"))
    shown = (f"{key}={value[:SHOWN_FACT_CHARS]}" for key, value in found.facts.items() if key not in ("role", "path"))
    return " ".join(shown)
