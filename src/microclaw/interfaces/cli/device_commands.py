"""The commands of `microclaw device` that are more than an act: they use files, ports, passwords, or this network."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import click

from microclaw.devices.link import operations as links
from microclaw.devices.transports.discovery import DiscoveredService, browse
from microclaw.devices.transports.open import tcp_address
from microclaw.devices.transports.serial_survey import survey_ports
from microclaw.devices.transports.subnet_probe import PORTS, parse_subnet, probe_subnet
from microclaw.devices.transports.wasmachine import SCHEME
from microclaw.durable import read_given_text, write_given, write_private
from microclaw.errors import NoHost
from microclaw.hardware.parts.diagram_nets import MAX_DIAGRAM_BYTES
from microclaw.host.config.places import cache_folder
from microclaw.interfaces.cli.hand_commands import end_recording, record
from microclaw.interfaces.cli.operation_commands import perform, run_act, show
from microclaw.interfaces.cli.options import GlobalOptions, command, secret_value
from microclaw.interfaces.cli.program_files import firmware_option, firmware_words
from microclaw.interfaces.cli.targets import known_devices
from microclaw.programs.changes import device_operations as devices
from microclaw.programs.changes import wiring_operations as wirings
from microclaw.programs.changes.wiring_places import export_diagram
from microclaw.programs.run_times import parse_time_ms
from microclaw.text import one_line

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
    network = None if subnet is None else parse_subnet(subnet)
    names = _names_by_transport(options)
    services = asyncio.run(_search(network, for_s, interface, names, ask=ask))
    documents = []
    rows = []
    for service in services:
        name = names.get(_endpoint(service))
        documents.append(_service_object(service, name))
        rows.append((service.kind, service.name, _location(service), _shown_facts(service), name or ""))
    options.end_with_json("discover", {"found": documents})
    options.table(rows, head=("KIND", "NAME", "ADDRESS", "SAYS", "KNOWN AS"), empty="nothing announced itself")
    if any(service.kind == "wasmachine" for service in services):
        return
    if network is None:
        options.say("no WASMachine board was asked for: --subnet 192.168.1.0/24")
        return
    ports = " and ".join(map(str, PORTS))
    step = "for a board at another address: microclaw device add NAME --wasmachine HOST:PORT"
    options.say(f"no WASMachine board at {network}, ports {ports}; {step}")


def _names_by_transport(options: GlobalOptions) -> dict[str, str]:
    """Return the names of the host's devices by their transports, or {} if no host runs."""
    names: dict[str, str] = {}
    with suppress(NoHost):
        for device in known_devices(options.host()):
            for transport in device.transports:
                names[transport] = device.name
    return names


def _service_object(service: DiscoveredService, known_as: str | None) -> dict[str, Any]:
    return {
        "kind": service.kind,
        "name": service.name,
        "address": service.address,
        "port": service.port,
        "facts": dict(service.facts),
        "known_as": known_as,
    }


@command(device_group, "add")
@click.argument("name", help="What it is called.")
@click.option("--board", help="The board's profile; a virtual board's is virtual.")
@click.option("--wasmachine", metavar="HOST:PORT", help="Where its WASMachine listens.")
@click.option("--serial", metavar="PATH|usb-VID:PID:SERIAL", help="Its JSON line port.")
@click.option("--console", metavar="auto|PATH|usb-VID:PID:SERIAL", help="Its serial console: logs NAME --console.")
@click.option("--virtual", metavar="SOCKET", help="A virtual board's control.")
@firmware_option
def add(options: GlobalOptions, name: str, board: str | None, firmware: tuple[str, ...], **given: str | None) -> None:
    """Add a device by its addresses; add addresses or its firmware's facts to a device that is there."""
    schemes = {"wasmachine": "wasmachine://", "serial": "serial:", "console": "console:", "virtual": "virtual:"}
    transports = []
    for option, scheme in schemes.items():
        address = given[option]
        if address:
            transports.append(scheme + address)
    if not transports and not firmware:
        raise click.BadParameter("give an address: --wasmachine, --serial, --console or --virtual")
    words = list(firmware_words(firmware)) if firmware else None
    values = {"name": name, "board": board, "transports": transports, "firmware": words}
    perform(options, devices.add_device, values)


@command(device_group, "wifi")
@click.argument("name", help="The device.")
@click.argument("ssid", required=False, help="The network; none: list the known ones.")
@click.option("--password", metavar="@FILE|-", help="From a file or stdin; none: asked.")
@click.option("--open", "is_open", is_flag=True, help="The network has no password.")
@click.option("--later", is_flag=True, help="Only store it: a network that is not there yet.")
@click.option("--forget", is_flag=True, help="The device is to forget this network.")
def wifi(
    options: GlobalOptions,
    *,
    name: str,
    ssid: str | None,
    password: str | None,
    is_open: bool,
    later: bool,
    forget: bool,
) -> None:
    """Give a device another Wi-Fi: it is tried, and the former one is kept if this host is not reached over it."""
    has_password = password is not None
    if ssid is None:
        if any((has_password, is_open, later, forget)):
            raise click.BadParameter("name the network, too")
        perform(options, links.list_wifi, {"device": name})
        return
    if is_open + forget + has_password > 1 or (later and forget):
        raise click.BadParameter("--open, --password and --forget exclude each other, --later and --forget too")
    secret = None
    if not (is_open or forget):
        question = "--password" if password else f"Password of {ssid}"
        secret = secret_value(question, password, remedy="give --password @FILE, or --open")
    values = {"device": name, "ssid": ssid, "password": secret, "later": later, "forget": forget}
    perform(options, links.set_wifi, values)


@command(device_group, "wiring")
@click.argument("name", help="The device.")
@click.argument("file", required=False, type=Path, help="A wiring.toml or a diagram.json: it replaces what is wired.")
@click.option("--add", multiple=True, metavar="LINE", help='A part: lamp=led pin=5 active=low label="tank light".')
@click.option("--remove", multiple=True, metavar="ID", help="A part that is gone.")
@click.option("--diagram", type=Path, metavar="PATH", help="Write it there as a diagram.json of Wokwi.")
def wiring(
    options: GlobalOptions,
    *,
    name: str,
    file: Path | None,
    add: tuple[str, ...],
    remove: tuple[str, ...],
    diagram: Path | None,
) -> None:
    """Show what is wired to a device and what it is called; FILE, --add and --remove change it."""
    is_changed = bool(add or remove)
    if diagram is not None:
        if file is not None or is_changed:
            raise click.BadParameter("--diagram changes nothing: give it without FILE, --add and --remove")
        _write_diagram(options, name, diagram)
        return
    if file is None and not is_changed:
        perform(options, wirings.show_wiring, {"device": name})
        return
    if file is not None and is_changed:
        raise click.BadParameter("FILE replaces all parts: give it without --add and --remove")
    if file is None:
        perform(options, wirings.wire, {"device": name, "add": list(add), "remove": list(remove)})
        return
    text = read_given_text(file, MAX_DIAGRAM_BYTES)
    perform(options, wirings.set_wiring, {"device": name, "file": text})


def _write_diagram(options: GlobalOptions, name: str, path: Path) -> None:
    """Write what is wired to a device as a diagram.json, and say which parts that cannot have."""
    result = run_act(options, options.host(), export_diagram, {"device": name})
    write_given(path, [result.file.encode()])
    lines = [f"{path}: the wiring of {result.device}, drawn for {result.board}"]
    for part_id, reason in result.left_out.items():
        lines.append(f"left out: {part_id} ({reason})")
    document = {"file": str(path), "board": result.board, "left_out": result.left_out}
    options.report(result.document, document, "\n".join(lines))


@command(device_group, "record")
@click.argument("name", help="A virtual board.")
@click.option("--for", "for_ms", type=parse_time_ms, metavar="TIME", help="For how long; none: until Ctrl-C.")
@click.option("--end", "ends", is_flag=True, help="End the recording that runs already, and print its lines.")
def record_hands(options: GlobalOptions, name: str, for_ms: float | None, *, ends: bool) -> None:
    """Record what hands do on a virtual board and what follows, and print it as lines for --expect."""
    if ends:
        end_recording(options, name)
        return
    record(options, name, for_ms)


@command(device_group, "provision")
@click.argument("name", help="What the device is to be called, or a known device.")
@click.option("--board", help="The board's profile; a board of another profile is refused.")
@click.option("--file", type=Path, metavar="PATH", help="Write it there, 0600.")
@click.option("--qr", is_flag=True, help="Show it as a QR code.")
@click.option("--no-secret", is_flag=True, help="For a device that shows a pairing code.")
@click.option("--address", "host", metavar="HOST", help="How the device reaches this host.")
def provision(
    options: GlobalOptions,
    *,
    name: str,
    board: str | None,
    file: Path | None,
    qr: bool,
    no_secret: bool,
    host: str | None,
) -> None:
    """Print what a device needs to trust this host and be paired: as text, file or QR code."""
    provisioned = options.host().call(links.provision, name=name, board=board, secret=not no_secret, host=host)
    if file is not None:
        write_private(file, provisioned.provision.to_json().encode())
    show(options, links.provision, provisioned)
    if qr and not options.json:
        options.line(provisioned.provision.qr())
    if file is not None:
        options.say(f"written to {file}: whoever reads it can become this device")


async def _search(
    network: IPv4Network | None, for_s: float, interfaces: Sequence[str], transports: Iterable[str], *, ask: bool
) -> list[DiscoveredService]:
    """Search in all ways at once; an error in one ends the others.

    `transports` are the transports of the host's devices: their WASMachine boards are asked at their own ports.
    """
    locks = cache_folder(os.environ) / "locks"
    searches = [browse(for_s, interfaces=interfaces or None)]
    if network is not None:
        addresses = []
        for transport in transports:
            address = tcp_address(transport) if transport.startswith(SCHEME) else None
            if address is not None:
                addresses.append(address)
        searches.append(probe_subnet(network, lock_folder=locks, also=addresses))
    searches.append(survey_ports(locks, ask=ask))
    services: list[DiscoveredService] = []
    for results in await asyncio.gather(*searches):
        services += results
    return services


def _endpoint(service: DiscoveredService) -> str:
    """Return the service's address as a device's transport has it, or "" if it cannot be one."""
    if service.kind == "serial":
        return service.name
    if service.kind == "wasmachine":
        return f"{SCHEME}{_location(service)}"
    return ""


def _location(service: DiscoveredService) -> str:
    if service.kind == "serial":
        return service.address
    return f"{service.address}:{service.port}"


def _shown_facts(service: DiscoveredService) -> str:
    # The facts of a serial port are our own words, but for a USB id and a firmware's name.
    if service.kind == "serial":
        return one_line("; ".join(value for key, value in service.facts.items() if key != "usb"))
    texts = []
    for key, value in service.facts.items():
        if key not in ("role", "path"):
            texts.append(f"{key}={value[:SHOWN_FACT_CHARS]}")
    return " ".join(texts)
