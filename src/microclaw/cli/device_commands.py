"""`microclaw device ...`, `exec` and `logs`: name devices and call them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from microclaw.cli import link_commands
from microclaw.cli.invocation import Invocation, invocation


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="The devices this host knows.", no_args_is_help=True)
    group.command("list")(list_devices)
    group.command("show")(show)
    group.command("add")(add)
    group.command("rename")(rename)
    group.command("merge")(merge)
    group.command("remove")(remove)
    link_commands.register(app, group)
    app.add_typer(group, name="device")
    app.add_typer(group, name="devices", hidden=True)
    app.command("exec")(execute)
    app.command()(logs)


def list_devices(ctx: typer.Context) -> None:
    """List the devices."""
    options = invocation(ctx)
    found = options.host().get("/v1/devices")
    if options.json:
        options.document("devices", found)
        return
    devices = found["devices"]
    for line in link_commands.waiting_lines(found["pairings"]):
        options.say(line)
    if not devices:
        if not found["pairings"]:
            options.say("no devices yet. microclaw device add NAME --wasmachine HOST:PORT, or microclaw up --virtual 1")
        return
    rows = [
        (d["name"], d["board"], ", ".join(d["labels"]), _link_state(d["link"]), " ".join(d["transports"]))
        for d in devices
    ]
    options.table(rows, head=("NAME", "BOARD", "LABELS", "LINK", "TRANSPORTS"))


def show(ctx: typer.Context, name: str) -> None:
    """Show one device: its transports, what it can do, what its board is."""
    from microclaw.cli.host_client import segment

    options = invocation(ctx)
    device = options.host().get(f"/v1/devices/{segment(name)}")
    if options.json:
        options.document("device", device)
        return
    for key in ("name", "device_id", "title", "chip"):
        options.line(f"{key:<12} {device[key]}")
    for key in ("transports", "labels", "capabilities"):
        options.line(f"{key:<12} {', '.join(device[key]) or '-'}")
    options.line(f"{'power cut':<12} {device['power_cut']}")
    if (link := device["link"]) is not None:
        options.line(f"{'link':<12} {_link_state(link)}")
        for key in ("address", "firmware"):
            options.line(f"{key:<12} {link[key] or '-'}")
        if link["rtt_ms"] is not None:
            options.line(f"{'round trip':<12} {link['rtt_ms']:.1f} ms")


def _link_state(link: dict[str, Any] | None) -> str:
    """Connected, or when it was last."""
    import time

    if link is None:
        return "-"
    if link["online"]:
        return "connected"
    if link["last_seen_ms"] is None:
        return "never seen"
    ago_s = max(0, int(time.time() - link["last_seen_ms"] / 1000))
    days, hours, minutes = ago_s // 86_400, ago_s // 3_600, ago_s // 60
    ago = f"{days} d" if days else f"{hours} h" if hours else f"{minutes} min" if minutes else f"{ago_s} s"
    return f"seen {ago} ago"


def add(
    ctx: typer.Context,
    name: str,
    board: Annotated[
        str | None, typer.Option("--board", help="The board's profile; a virtual board's is virtual.")
    ] = None,
    wasmachine: Annotated[str | None, typer.Option("--wasmachine", metavar="HOST:PORT")] = None,
    serial: Annotated[str | None, typer.Option("--serial", metavar="PATH|COM3|usb-VID:PID:SERIAL")] = None,
    virtual: Annotated[
        str | None, typer.Option("--virtual", metavar="SOCKET", help="A virtual board's control.")
    ] = None,
) -> None:
    """Add a device by its addresses, or more addresses to a device that is there."""
    from microclaw.cli.host_client import segment

    options = invocation(ctx)
    transports = [
        prefix + address
        for prefix, address in (("wasmachine://", wasmachine), ("serial:", serial), ("virtual:", virtual))
        if address
    ]
    if not transports:
        raise typer.BadParameter("give an address: --wasmachine, --serial or --virtual")
    host = options.host()
    known = any(device["name"] == name for device in host.get("/v1/devices")["devices"])
    if known and board is None:
        device = host.post(f"/v1/devices/{segment(name)}/transports", {"transports": transports})
        _changed(options, device, f"{name} has {len(device['transports'])} transports now")
        return
    if board is None and virtual is None:
        from microclaw.boards import board_ids

        raise typer.BadParameter(f"which board is it? --board with one of {', '.join(board_ids())}")
    device = host.post("/v1/devices", {"name": name, "board": board or "virtual", "transports": transports})
    _changed(options, device, f"{device['name']} added ({device['title']})")


def merge(ctx: typer.Context, name: str, other: str) -> None:
    """Two entries are one board: OTHER's addresses go to NAME, and OTHER's entry ends."""
    from microclaw.cli.host_client import segment

    options = invocation(ctx)
    device = options.host().post(f"/v1/devices/{segment(name)}/merge", {"other": other})
    _changed(options, device, f"{other} is {name} now: {', '.join(device['transports'])}")


def remove(ctx: typer.Context, name: str) -> None:
    """Forget a device; what runs on it goes on."""
    from microclaw.cli.host_client import segment

    options = invocation(ctx)
    _changed(options, options.host().delete(f"/v1/devices/{segment(name)}"), f"{name} is forgotten")


def _changed(options: Invocation, device: dict[str, Any], said: str) -> None:
    if options.json:
        options.document("device", device)
    else:
        options.say(said)


def rename(ctx: typer.Context, name: str, new_name: str) -> None:
    """Give a device another name."""
    from microclaw.cli.host_client import segment

    options = invocation(ctx)
    device = options.host().patch(f"/v1/devices/{segment(name)}", {"name": new_name})
    _changed(options, device, f"{name} is now {device['name']}")


def execute(
    ctx: typer.Context,
    target: Annotated[str, typer.Argument(metavar="DEVICE", help="A device's name, or HOST:PORT without a host.")],
    method: Annotated[str, typer.Argument(help="gpio.set, gpio.get, adc.read, apps.list, ...")],
    arguments: Annotated[list[str] | None, typer.Argument(metavar="[ARG]...", help="pin=2 level=1, or 2 1")] = None,
    board: Annotated[str, typer.Option("--board", help="With an address: the board's profile.")] = "virtual",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="For a device that is away, up to 15 s.")] = True,
) -> None:
    """Call one method of a device at once."""
    from microclaw.devices.call_text import arguments_from_words

    options = invocation(ctx)
    values = arguments_from_words(method, arguments or [])
    print_outcome(options, method, call_target(options, target, board, method, values, wait=wait))


def print_outcome(options: Invocation, method: str, outcome: dict[str, Any]) -> None:
    """A call's answer as lines, or as one JSON document."""
    if options.json:
        options.document("exec", {"method": method, **outcome})
        return
    for key, value in _flat(outcome["result"]):
        options.line(f"{key:<16} {value}" if key else str(value))
    if outcome.get("evidence"):
        options.say(f"({outcome['evidence']['kind']}: {outcome['evidence']['text']})")


def call_target(
    options: Invocation, target: str, board: str, method: str, values: dict[str, Any], *, wait: bool = True
) -> dict[str, Any]:
    """Through the host for a device's name, directly for an address."""
    from microclaw.cli.direct import call_directly, is_address
    from microclaw.cli.host_client import segment

    if is_address(target):
        options.only_here(f"a call of {target}")
        return {"result": call_directly(target, board, method, values)}
    body = {"method": method, "arguments": values, "wait": wait}
    return options.host().post(f"/v1/devices/{segment(target)}/call", body)


def _flat(value: Any) -> list[tuple[str, str]]:
    """A result as lines: a list one entry a line, an object one member a line."""
    if isinstance(value, dict):
        lines: list[tuple[str, str]] = []
        for key, member in value.items():
            if isinstance(member, dict):
                lines += [(inner, str(content)) for inner, content in member.items()]
            elif isinstance(member, list) and any(isinstance(entry, dict) for entry in member):
                lines += [(key, _entry(entry)) for entry in member]
            else:
                lines.append((key, _entry(member)))
        return lines
    if isinstance(value, list):
        return [("", _entry(entry)) for entry in value] or [("", "none")]
    return [("", "done" if value is None else str(value))]


def _entry(value: Any) -> str:
    if isinstance(value, dict):
        return "  ".join(str(member) for member in value.values())
    if isinstance(value, list):
        return " ".join(str(member) for member in value) or "-"
    return str(value)


def logs(
    ctx: typer.Context,
    target: Annotated[str, typer.Argument(metavar="DEVICE[/APP]")],
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as lines come, until Ctrl-C.")] = False,
) -> None:
    """Show what a device's programs print."""
    import time

    from microclaw.cli.host_client import segment

    options = invocation(ctx)
    host = options.host()
    device, _, app = target.partition("/")
    cursor = 0
    while True:
        page = host.get(f"/v1/devices/{segment(device)}/logs", {"cursor": cursor})
        if page["dropped"] and cursor:
            options.say(f"({page['dropped']} lines were lost)")
        for line in page["lines"]:
            if not app or line["app"] == app:
                _log_line(options, line)
        cursor = page["cursor"]
        if not follow and not page["lines"]:
            return
        if follow and not page["lines"]:
            time.sleep(0.2)


def _log_line(options: Invocation, line: dict[str, Any]) -> None:
    if options.json:
        options.document("log", line)
        return
    app = line["app"] or "board"
    options.line(f"{line['t_ms'] / 1000:10.3f}  {app:<12} {line['text'].rstrip()}")
