"""`microclaw device` and `notify`: lists, names, pairs and removes devices, and notifies them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from microclaw.boards.firmware import described_text
from microclaw.boards.today import OUR_FIRMWARE, STATES, VIRTUALS, families
from microclaw.cli.device_check import check, connection_text, only_board, report_added
from microclaw.cli.firmware_option import FirmwareOption, firmware_words
from microclaw.cli.host_commands import waiting_lines
from microclaw.cli.options import GlobalOptions, command_group, global_options
from microclaw.cli.steps import follow
from microclaw.cli.telemetry_command import last_text, show_telemetry
from microclaw.cli.wifi_command import wifi
from microclaw.cli.xiaozhi_steps import add_xiaozhi
from microclaw.client.request import segment
from microclaw.devices.examine import NEVER_REACHED, REVOKED
from microclaw.text import count_text, one_line

device_group = command_group()
device_group.command("wifi")(wifi)
device_group.command("check")(check)


@device_group.command("list")
def list_devices(ctx: typer.Context) -> None:
    """List the devices."""
    options = global_options(ctx)
    found = options.fetch("devices", "/v1/devices")
    for line in waiting_lines(found["pairings"]):
        options.say(line)
    rows = [
        (
            d["name"],
            d["board"],
            ", ".join(d["labels"]),
            connection_text(d),
            " ".join(d["transports"]),
        )
        for d in found["devices"]
    ]
    if rows or not found["pairings"]:
        none = "no devices yet. microclaw device add NAME --wasmachine HOST:PORT, or microclaw up --virtual 1"
        options.table(rows, head=("NAME", "BOARD", "LABELS", "LINK", "TRANSPORTS"), empty=none)


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
        return
    if key is not None or since is not None:
        raise typer.BadParameter("a series and --since are for --plot or --csv FILE")
    device = options.fetch("device", f"/v1/devices/{segment(name)}")
    for key in ("name", "device_id", "title", "chip"):
        options.line(f"{key:<12} {device[key]}")
    if device["revoked"]:
        options.line(f"{'state':<12} {REVOKED}: microclaw device pair CODE -d {name}")
    if device["never_reached"]:
        options.line(f"{'state':<12} {NEVER_REACHED}: microclaw device check {name}")
    if device.get("problem"):
        options.line(f"{'problem':<12} {device['problem']}")
    for key in ("transports", "labels", "capabilities"):
        options.line(f"{key:<12} {', '.join(device[key]) or '-'}")
    options.line(f"{'power cut':<12} {device['power_cut']}")
    firmware, link = device["firmware"], device["link"]
    told = link["firmware"] if link is not None else None
    if device["voice_only"]:
        whose = "xiaozhi's" if link is None else one_line(told or "not seen yet")
        options.line(f"{'firmware':<12} {whose}: it is spoken to, and runs no programs")
    elif device["kinds"] == ["py"]:
        is_ours = told is not None and told.startswith(f"{OUR_FIRMWARE} ")
        options.line(f"{'firmware':<12} {'microclaw on MicroPython' if is_ours else one_line(told or '-')}")
        options.line(f"{'programs':<12} Python")
        options.line(f"{'limits':<12} {_python_limits(firmware)}")
    else:
        options.line(f"{'firmware':<12} {described_text(firmware['described'])}")
        options.line(f"{'device files':<12} {', '.join(firmware['nodes']) or '-'}")
        options.line(f"{'natives':<12} {_natives(firmware)}")
        options.line(f"{'limits':<12} {_limits(firmware)}")
    if link is not None:
        options.line(f"{'link':<12} {connection_text(device)}")
        options.line(f"{'address':<12} {link['address'] or '-'}")
        options.line(f"{'version':<12} {link['firmware'] or '-'}")
        if link["rtt_ms"] is not None:
            options.line(f"{'round trip':<12} {link['rtt_ms']:.1f} ms")
        if device["kinds"] == ["py"]:
            options.line(f"{'updates':<12} {_updates(link['updates'])}")
    if device.get("telemetry"):
        options.line(f"{'telemetry':<12} {last_text(device['telemetry'])}; over time: --plot")
    if device.get("today") is not None:
        _show_today(options, device["today"], name)
    elif told is not None:
        options.line(f"{'today':<12} its firmware is not one that this project tried")


def _updates(facts: dict[str, Any] | None) -> str:
    """What the board said that it takes."""
    if facts is None:
        return "by cable alone: it has no key for updates; microclaw flash --update-key FILE gives it one"
    kinds, keys = ", ".join(facts["kinds"]), ", ".join(facts["keys"])
    board = f"{facts['board']} of revision {facts['revision']}" if facts.get("revision") else facts["board"]
    return f"over the link ({kinds}), channel {facts['channel']}, for {board}, signed by {keys}"


def _show_today(options: GlobalOptions, today: dict[str, Any], name: str) -> None:
    """What works on this board, by state; docs/boards.md has the evidence of each."""
    options.line(f"today        {today['family']} (docs/boards.md)")
    by_state: dict[str, list[str]] = {}
    for finding in today["findings"]:
        by_state.setdefault(finding["text"], []).append(finding["feature"].replace("`", ""))
    for text in (text for text in STATES.values() if text in by_state):
        options.line(f"  {text}: {'; '.join(by_state[text])}")
    if today["hardware"]:
        options.line(f"  on hardware: {'; '.join(today['hardware'])}")
    elif today["family"] not in {families()[family_id].title for family_id in VIRTUALS}:
        options.line(
            f"  on hardware: nothing yet. Be the first: microclaw doctor --report -d {name} prints what to paste"
        )


def _natives(firmware: dict[str, Any]) -> str:
    """ "libc_builtin, libm, without usleep"."""
    parts = [*firmware["native_groups"], *firmware["natives_added"]]
    lacking = ", ".join(firmware["natives_lacking"])
    return (", ".join(parts) or "-") + (f", without {lacking}" if lacking else "")


def _python_limits(firmware: dict[str, Any]) -> str:
    count, size_kb = firmware["max_apps"], firmware["max_module_bytes"] // 1024
    return f"{count} programs at once, {size_kb} KB each; they share the memory"


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
def add(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="What it is called.")] = None,
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
    xiaozhi: Annotated[
        bool, typer.Option("--xiaozhi", help="Say how a device with xiaozhi's firmware comes to this host.")
    ] = False,
) -> None:
    """Add a device by its addresses, or more addresses, or what its firmware has, to a device that is there."""
    options = global_options(ctx)
    if xiaozhi:
        add_xiaozhi(options, name)
        return
    if name is None:
        raise typer.BadParameter("what is it called? microclaw device add NAME")
    words = firmware_words(firmware)
    if console == "auto":
        console = only_board(options)
    transports = [
        prefix + address
        for prefix, address in (
            ("wasmachine://", wasmachine),
            ("serial:", serial),
            ("console:", console),
            ("virtual:", virtual),
        )
        if address
    ]
    if not transports and firmware is None:
        raise typer.BadParameter("give an address: --wasmachine, --serial, --console or --virtual")
    host = options.host()
    known = any(device["name"] == name for device in host.devices.list())
    if known and board is None:
        said = []
        if transports:
            device = host.devices.add_transports(name, transports)
            said.append(f"{name} has {len(device['transports'])} transports now")
        if firmware is not None:
            device = host.devices.describe_firmware(name, list(words))
            said.append(f"the firmware of {name} is {described_text(words)}")
        options.report("device", device, "; ".join(said))
        return
    if not transports:
        raise typer.BadParameter("give an address: --wasmachine, --serial or --virtual")
    if board is None and virtual is None:
        from microclaw.boards import board_ids

        raise typer.BadParameter(f"which board is it? --board with one of {', '.join(board_ids())}")
    added = host.devices.add(name, board or "virtual", transports, firmware=words)
    described = f"; its firmware is {described_text(words)}" if words else ""
    report_added(options, added, f"{added['name']} added ({added['title']}){described}")


@device_group.command("explore")
def explore(
    ctx: typer.Context,
    name: str,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the answer as the device's description.")] = False,
) -> None:
    """Find out which functions and device files a board's firmware has, by a program that is there for a moment."""
    options = global_options(ctx)
    host = options.host()
    found = follow(options, host, f"/v1/devices/{segment(name)}/explore", {})
    words = found["firmware"]
    if not options.json:
        for key, title in (("nodes", "device files"), ("lacking_nodes", "none of"), ("lacking_natives", "lacks")):
            options.line(f"{title:<12} {', '.join(found[key]) or '-'}")
        for line in found["unknown"]:
            options.line(f"{'not known':<12} {line}")
        options.line(f"{'description':<12} {described_text(words)}")
        if not keep and (options.yes or sys.stdin.isatty()):
            keep = options.yes or typer.confirm(f"Keep this as the description of {name}?")
    if keep:
        host.devices.describe_firmware(name, words)
        options.say(f"kept: the firmware of {name} is {described_text(words)}")
    elif not options.json:
        options.say(f"not kept: microclaw device explore {name} --keep")
    options.wrote_json("exploration", {**found, "kept": keep})


@device_group.command("rename")
def rename(ctx: typer.Context, name: str, new_name: str) -> None:
    """Give a device another name."""
    options = global_options(ctx)
    device = options.host().devices.rename(name, new_name)
    options.report("device", device, f"{name} is now {device['name']}")


@device_group.command("merge")
def merge(ctx: typer.Context, name: str, other: str) -> None:
    """Two entries are one board: OTHER's addresses go to NAME, and OTHER's entry ends."""
    options = global_options(ctx)
    device = options.host().devices.merge(name, other)
    options.report("device", device, f"{other} is {name} now: {', '.join(device['transports'])}")


@device_group.command("remove")
def remove(ctx: typer.Context, name: str) -> None:
    """Forget a device; what runs on it goes on."""
    options = global_options(ctx)
    options.report("device", options.host().devices.remove(name), f"{name} is forgotten")


@device_group.command("pair")
def pair_device(
    ctx: typer.Context,
    code: Annotated[str | None, typer.Argument(help="The 6 digits that the device shows; none: who waits.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="What to call it.")] = None,
    board: Annotated[
        str | None, typer.Option("--board", help="The board's profile, where the device has a name of its own for it.")
    ] = None,
) -> None:
    """Let the device that shows CODE in; with -d NAME it is that known device. Without CODE: list who waits."""
    options = global_options(ctx)
    if code is None:
        _list_waiting(options)
        return
    body = {"code": code, "name": name, "device": options.device, "board": board}
    device = options.host().post("/v1/devices/pair", body)
    options.report(
        "device", device, f"{device['name']} is paired ({device['title']}). Try: microclaw device show {device['name']}"
    )


def _list_waiting(options: GlobalOptions) -> None:
    found = options.fetch("pairings", "/v1/pairings")
    for line in waiting_lines(found["pairings"]):
        options.line(line)
    if not found["pairings"]:
        options.say("no device waits to be paired. What a new one needs: microclaw device provision NAME")


@device_group.command("label")
def label_device(
    ctx: typer.Context,
    name: str,
    labels: Annotated[list[str] | None, typer.Argument(metavar="[LABEL]...", help="None: take all away.")] = None,
) -> None:
    """Replace a device's labels; what was taken away is told."""
    options, host = global_options(ctx), global_options(ctx).host()
    before = host.devices.get(name)["labels"]
    device = host.devices.label(name, labels or [])
    gone = [label for label in before if label not in device["labels"]]
    keep = "; keep them by naming them too" if labels else ""
    away = f" (taken away: {', '.join(gone)}{keep})" if gone else ""
    told = f"{device['name']}: {', '.join(device['labels']) or 'no labels'}{away}"
    options.report("device", {**device, "taken_away": gone}, told)


@device_group.command("revoke")
def revoke(ctx: typer.Context, name: str) -> None:
    """End what a device's credentials open, at once; it can be paired again."""
    options = global_options(ctx)
    if not options.json:
        options.agree(f"{name} will be cut off until it is paired again. Go on?")
    done = options.host().devices.revoke(name)
    revoked = f"{done['device']}: {done['revoked']} credentials revoked" if done["revoked"] else "it had none"
    options.report("revoked", done, revoked)


@device_group.command("provision")
def provision(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(help="What the device is to be called, or a known device; none with --batch."),
    ] = None,
    board: Annotated[
        str | None, typer.Option("--board", help="The board's profile; a board of another profile is refused.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", metavar="PATH", help="Write it there, 0600.")] = None,
    qr: Annotated[bool, typer.Option("--qr", help="Show it as a QR code.")] = False,
    no_secret: Annotated[bool, typer.Option("--no-secret", help="For a device that shows a pairing code.")] = False,
    host: Annotated[str | None, typer.Option("--address", metavar="HOST", help="How the device reaches this host.")] = (
        None
    ),
    batch: Annotated[
        int | None, typer.Option("--batch", metavar="N", min=1, max=500, help="For N devices; needs --out.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="CSV", help="With --batch: their table, 0600.")] = None,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", metavar="SVG", help="With --batch: labels with QR codes, 24 a page (A4).")
    ] = None,
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
        from microclaw.cli.provision_batch import provision_batch

        asked = {"count": batch, "prefix": prefix, "board": board, "host": host, "days": days}
        provision_batch(options, options.host(), asked, out=out, sheet=sheet, force=force)
        return
    if name is None or out is not None or sheet is not None:
        raise typer.BadParameter("give a NAME; or for many devices --batch N --out CSV")
    body = {"name": name, "board": board, "secret": not no_secret, "host": host, "qr": qr}
    made = options.host().post("/v1/devices/provision", body)
    if file is not None:
        from microclaw.durable import write_private

        write_private(file, made["file"].encode())
    options.end_with_json("provision", {key: made[key] for key in made if key not in ("text", "file", "qr")})
    options.line(made["text"])
    if qr:
        options.line(made["qr"])
    if file is not None:
        options.say(f"written to {file}: whoever reads it can become this device")
    if made["only_local"]:
        options.say("this host lets in devices of this machine alone; others: microclaw up --link 0.0.0.0:8443")
    if made["secret"]:
        options.say("the secret is good for one device, for 30 days")


def notify(
    ctx: typer.Context,
    device: str,
    text: Annotated[list[str], typer.Argument(metavar="TEXT...")],
    speak: Annotated[bool, typer.Option("--speak", help="Say it aloud, where the device can.")] = False,
    expires: Annotated[
        int | None, typer.Option("--expires", metavar="SECONDS", min=1, help="Worth nothing after that.")
    ] = None,
) -> None:
    """Tell a device something, now or when it is back."""
    options = global_options(ctx)
    noted = options.host().devices.notify(device, " ".join(text), speak=speak, expires_s=expires)
    options.end_with_json("notify", noted)
    if noted["state"] == "delivered":
        options.say(f"{noted['device']} has it")
    else:
        until = f", for {expires} s" if expires else ""
        options.say(f"{noted['device']} is not connected: it gets it when it comes back{until}")
