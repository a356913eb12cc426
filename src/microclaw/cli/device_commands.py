"""The commands of `microclaw device` that are more than one act: show, add, explore, provision, wifi, check."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from msgspec import to_builtins

from microclaw.apps import device_operations as devices
from microclaw.apps.operations import explore as explore_act
from microclaw.boards.firmware import described_text
from microclaw.boards.today import OUR_FIRMWARE, STATES, VIRTUALS, families
from microclaw.cli.device_check import check, only_board, report_added
from microclaw.cli.discover_command import discover
from microclaw.cli.firmware_option import firmware_option, firmware_words
from microclaw.cli.known_devices import known_devices
from microclaw.cli.operation_commands import done
from microclaw.cli.options import GlobalOptions, command_group
from microclaw.cli.telemetry_command import last_text, show_telemetry
from microclaw.cli.wifi_command import wifi
from microclaw.cli.xiaozhi_steps import add_xiaozhi
from microclaw.durable import write_private
from microclaw.link_server.device_facts import NEVER_REACHED, REVOKED, OneDevice
from microclaw.link_server.operations import provision as provision_act
from microclaw.text import count_text, one_line

device_group = command_group()
device_group.add_command(wifi, "wifi")
device_group.add_command(check, "check")
device_group.add_command(discover, "discover")


@device_group.command("show")
@click.argument("name")
@click.argument("key", required=False, metavar="[KEY]", help="One series, to --plot or --csv.")
@click.option("--plot", is_flag=True, help="Draw what it measured.")
@click.option("--csv", "file", type=Path, metavar="FILE", help="Write what it measured to a new file; - is the output.")
@click.option("--since", metavar="WHEN", help="From then on: 30m, 2h (the default), 7d, or a day.")
@click.pass_obj
def show(options: GlobalOptions, name: str, key: str | None, plot: bool, file: Path | None, since: str | None) -> None:
    """Show one device: its transports, what it can do, what its board is; or what it measured."""
    if plot or file is not None:
        show_telemetry(options, name, key, since, file)
        return
    if key is not None or since is not None:
        raise click.BadParameter("a series and --since are for --plot or --csv FILE")
    device = options.host().call(devices.show_device, device=name)
    options.end_with_json("device", to_builtins(device))
    for title, text in _rows(device):
        options.line(f"{title:<12} {text}")
    if device.today is not None:
        _today(device.today, name, options.line)


def _rows(device: OneDevice) -> Iterator[tuple[str, str]]:
    firmware, link = device.firmware, device.link
    told = link.firmware if link is not None else None
    yield from (("name", device.name), ("device_id", device.device_id), ("title", device.title), ("chip", device.chip))
    if device.revoked:
        yield "state", f"{REVOKED}: microclaw device pair CODE -d {device.name}"
    if device.never_reached:
        yield "state", f"{NEVER_REACHED}: microclaw device check {device.name}"
    if device.problem:
        yield "problem", device.problem
    for title in ("transports", "labels", "capabilities"):
        yield title, ", ".join(getattr(device, title)) or "-"
    yield "power cut", device.power_cut
    if device.voice_only:
        whose = "xiaozhi's" if link is None else one_line(told or "not seen yet")
        yield "firmware", f"{whose}: it is spoken to, and runs no programs"
    elif device.kinds == ["py"]:
        is_ours = told is not None and told.startswith(f"{OUR_FIRMWARE} ")
        yield "firmware", "microclaw on MicroPython" if is_ours else one_line(told or "-")
        count, size_kb = firmware["max_apps"], firmware["max_module_bytes"] // 1024
        yield "limits", f"{count} Python programs at once, {size_kb} KB each; they share the memory"
    else:
        yield "firmware", described_text(firmware["described"])
        yield "device files", ", ".join(firmware["nodes"]) or "-"
        lacking = ", ".join(firmware["natives_lacking"])
        natives = ", ".join([*firmware["native_groups"], *firmware["natives_added"]]) or "-"
        yield "natives", f"{natives}, without {lacking}" if lacking else natives
        yield "limits", _limits(firmware)
    if link is not None:
        yield from (("link", device.connection), ("address", link.address or "-"), ("version", told or "-"))
        if link.rtt_ms is not None:
            yield "round trip", f"{link.rtt_ms:.1f} ms"
        if link.updates is not None:
            facts = link.updates
            board = f"{facts.board} of revision {facts.revision}" if facts.revision else facts.board
            how = f"over the link ({', '.join(facts.kinds)}), channel {facts.channel}, for {board}"
            yield "updates", f"{how}, signed by {', '.join(facts.keys)}"
        elif device.kinds == ["py"]:
            yield "updates", "by cable alone: it has no key; microclaw flash --update-key FILE gives it one"
    if device.telemetry:
        yield "telemetry", f"{last_text(device.telemetry)}; over time: --plot"
    if device.today is None and told is not None:
        yield "today", "its firmware is not one that this project tried"


def _today(today: dict[str, Any], name: str, line: Any) -> None:
    """What works on this board, by state; docs/boards.md has the evidence of each."""
    line(f"today        {today['family']} (docs/boards.md)")
    by_state: dict[str, list[str]] = {}
    for finding in today["findings"]:
        by_state.setdefault(finding["text"], []).append(finding["feature"].replace("`", ""))
    for text in (text for text in STATES.values() if text in by_state):
        line(f"  {text}: {'; '.join(by_state[text])}")
    if today["hardware"]:
        line(f"  on hardware: {'; '.join(today['hardware'])}")
    elif today["family"] not in {families()[family_id].title for family_id in VIRTUALS}:
        line(f"  on hardware: nothing yet. Be the first: microclaw doctor --report -d {name} prints what to paste")


def _limits(firmware: dict[str, Any]) -> str:
    """ "3 apps, 256 KB a program, 128 KB of memory", and what else is limited."""
    parts = [
        count_text(firmware["max_apps"], "app"),
        f"{firmware['max_module_bytes'] // 1024} KB a program",
        f"{firmware['max_memory_bytes'] // 1024} KB of memory",
    ]
    if firmware["max_heap_bytes"] is not None:
        parts.append(f"{firmware['max_heap_bytes']} B of heap")
    if firmware["max_timers"] is not None:
        parts.append(f"{firmware['max_timers']} timers")
    return ", ".join(parts if firmware["files"] else [*parts, "no files"])


@device_group.command("add")
@click.argument("name", required=False, help="What it is called.")
@click.option("--board", help="The board's profile; a virtual board's is virtual.")
@click.option("--wasmachine", metavar="HOST:PORT", help="Where its WASMachine listens.")
@click.option("--serial", metavar="PATH|COM3|usb-VID:PID:SERIAL", help="Its JSON line port.")
@click.option(
    "--console",
    metavar="auto|PATH|COM3|usb-VID:PID:SERIAL",
    help="Where its serial console is, to read: microclaw logs NAME --console.",
)
@click.option("--virtual", metavar="SOCKET", help="A virtual board's control.")
@firmware_option
@click.option("--xiaozhi", is_flag=True, help="Say how a device with xiaozhi's firmware comes to this host.")
@click.pass_obj
def add(
    options: GlobalOptions,
    name: str | None,
    board: str | None,
    wasmachine: str | None,
    serial: str | None,
    console: str | None,
    virtual: str | None,
    firmware: tuple[str, ...],
    xiaozhi: bool,
) -> None:
    """Add a device by its addresses, or more addresses, or what its firmware has, to a device that is there."""
    if xiaozhi:
        add_xiaozhi(options, name)
        return
    if name is None:
        raise click.BadParameter("what is it called? microclaw device add NAME")
    words = list(firmware_words(firmware))
    console = only_board(options) if console == "auto" else console
    given = {"wasmachine://": wasmachine, "serial:": serial, "console:": console, "virtual:": virtual}
    transports = [prefix + address for prefix, address in given.items() if address]
    if not transports and firmware is None:
        raise click.BadParameter("give an address: --wasmachine, --serial, --console or --virtual")
    host = options.host()
    if board is None and any(one.name == name for one in known_devices(host)):
        said = []
        if transports:
            device = host.call(devices.add_transports, device=name, transports=transports)
            said.append(f"{name} has {len(device.transports)} transports now")
        if firmware is not None:
            device = host.call(devices.describe_firmware, device=name, firmware=words)
            said.append(f"the firmware of {name} is {described_text(words)}")
        options.report("device", to_builtins(device), "; ".join(said))
        return
    if not transports:
        raise click.BadParameter("give an address: --wasmachine, --serial or --virtual")
    if board is None and virtual is None:
        from microclaw.boards import board_ids

        raise click.BadParameter(f"which board is it? --board with one of {', '.join(board_ids())}")
    added = host.call(devices.add_device, name=name, board=board or "virtual", transports=transports, firmware=words)
    described = f"; its firmware is {described_text(words)}" if words else ""
    report_added(options, added, f"{added.name} added ({added.title}){described}")


@device_group.command("explore")
@click.argument("name")
@click.option("--keep", is_flag=True, help="Keep the answer as the device's description.")
@click.pass_obj
def explore(options: GlobalOptions, name: str, keep: bool) -> None:
    """Find out which functions and device files a board's firmware has, by a program that is there for a moment."""
    host = options.host()
    found = done(options, host, explore_act, {"device": name})
    words = found.firmware
    if not options.json:
        for key, title in (("nodes", "device files"), ("lacking_nodes", "none of"), ("lacking_natives", "lacks")):
            options.line(f"{title:<12} {', '.join(getattr(found, key)) or '-'}")
        for line in found.unknown:
            options.line(f"{'not known':<12} {line}")
        options.line(f"{'description':<12} {described_text(words)}")
        if not keep and (options.yes or sys.stdin.isatty()):
            keep = options.yes or click.confirm(f"Keep this as the description of {name}?")
    if keep:
        host.call(devices.describe_firmware, device=name, firmware=words)
        options.say(f"kept: the firmware of {name} is {described_text(words)}")
    elif not options.json:
        options.say(f"not kept: microclaw device explore {name} --keep")
    options.wrote_json("exploration", to_builtins(found) | {"kept": keep})


@device_group.command("provision")
@click.argument("name", required=False, help="What the device is to be called, or a known device; none with --batch.")
@click.option("--board", help="The board's profile; a board of another profile is refused.")
@click.option("--file", type=Path, metavar="PATH", help="Write it there, 0600.")
@click.option("--qr", is_flag=True, help="Show it as a QR code.")
@click.option("--no-secret", is_flag=True, help="For a device that shows a pairing code.")
@click.option("--address", "host", metavar="HOST", help="How the device reaches this host.")
@click.option("--batch", type=click.IntRange(1, 500), metavar="N", help="For N devices; needs --out.")
@click.option("--out", type=Path, metavar="CSV", help="With --batch: their table, 0600.")
@click.option("--sheet", type=Path, metavar="SVG", help="With --batch: labels with QR codes, 24 a page (A4).")
@click.option("--prefix", default="board-", help="With --batch: of their names, before the number.")
@click.option("--days", default=90, type=click.IntRange(1, 366), help="With --batch: how long it is good.")
@click.option("--force", is_flag=True, help="With --batch: write over files that are there.")
@click.pass_obj
def provision(
    options: GlobalOptions,
    name: str | None,
    board: str | None,
    file: Path | None,
    qr: bool,
    no_secret: bool,
    host: str | None,
    batch: int | None,
    out: Path | None,
    sheet: Path | None,
    prefix: str,
    days: int,
    force: bool,
) -> None:
    """Print what a device needs to trust this host and be paired: as text, file or QR code; --batch for many."""
    if batch is not None:
        if out is None or name is not None or file is not None or qr or no_secret:
            raise click.BadParameter("--batch N takes --out CSV, and no NAME, --file, --qr, --no-secret")
        from microclaw.cli.provision_batch import provision_many

        asked = {"count": batch, "name": prefix, "board": board, "host": host, "days": days}
        provision_many(options, options.host(), asked, out=out, sheet=sheet, force=force)
        return
    if name is None or out is not None or sheet is not None:
        raise click.BadParameter("give a NAME; or for many devices --batch N --out CSV")
    made = options.host().call(provision_act, name=name, board=board, secret=not no_secret, host=host)
    if file is not None:
        write_private(file, made.given.to_json().encode())
    options.end_with_json("provision", to_builtins(made))
    options.line(made.given.to_text())
    if qr:
        options.line(made.given.qr())
    if file is not None:
        options.say(f"written to {file}: whoever reads it can become this device")
    if made.only_local:
        options.say("this host lets in devices of this machine alone; others: microclaw up --link 0.0.0.0:8443")
    if made.secret:
        options.say("the secret is good for one device, for 30 days")
