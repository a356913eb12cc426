"""`microclaw app`: build programs, put them on devices, list them, take changes back."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from microclaw.apps.run_times import RunTimes, how_text, parse_time_ms
from microclaw.cli.call_commands import is_address
from microclaw.cli.firmware_option import FirmwareOption, described_board
from microclaw.cli.options import FAILED, GlobalOptions, command_group, global_options
from microclaw.cli.programs import (
    EVERY_HELP,
    EXPECT_HELP,
    STOP_AFTER_HELP,
    CompilerOption,
    OptimizationOption,
    WhenBackOption,
    device_with_program,
    end_deferred,
    end_install,
    follow,
    later_path,
    program_body,
    refuse_when_back,
    run,
)
from microclaw.client.request import segment
from microclaw.errors import ConfigError
from microclaw.text import program_name
from microclaw.transports.pin_program import PIN_PROGRAM

app_group = command_group()
_Board = Annotated[str, typer.Option("--board", help="With -d HOST:PORT: the board's profile.")]


@app_group.command()
def build(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="C, C++ or Python source, or a sketch (.ino).")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where the program goes; FILE.wasm, or FILE.mpy of Python.")
    ] = None,
    board: Annotated[str, typer.Option("--board", help="The board's profile.")] = "virtual",
    optimization: OptimizationOption = "O3",
    compiler: CompilerOption = None,
    firmware: FirmwareOption = None,
) -> None:
    """Compile and check a program; needs no host."""
    from microclaw.cli.trials import build_file, image_contents, show_image

    options = global_options(ctx)
    image = build_file(options.settings(), file, described_board(board, firmware), optimization, compiler)
    target = output or file.with_suffix(".wasm" if image.kind == "wasm" else ".mpy")
    try:
        target.write_bytes(image.code)
    except OSError as exc:
        raise ConfigError(f"cannot write {target}: {exc.strerror}", next_step="give another path with -o") from exc
    if options.json:
        options.document(
            "build",
            {
                "file": str(target),
                "size_bytes": image.size_bytes,
                "sha256": image.sha256,
                "compiler": image.compiler,
                "compile_ms": round(image.compile_ms, 1),
                "cached": image.cached,
                "kind": image.kind,
                "pins": list(image.pins),
                **image_contents(image),
                "warnings": [w.to_json() for w in image.warnings],
            },
        )
    elif not options.quiet:
        terminal = options.terminal()
        show_image(terminal, image, optimization=optimization, heap_bytes=8192)
        terminal.row("file", str(target))


app_group.command("install")(run)


@app_group.command("list")
def list_apps(ctx: typer.Context, board: _Board = "virtual") -> None:
    """What runs where; with -d HOST:PORT, on that board, without a host."""
    options = global_options(ctx)
    if options.chooses_many:
        from microclaw.cli.many_devices import chosen_names

        names = set(chosen_names(options, options.host()))
        listed = [app for app in options.host().programs.list() if app["device"] in names]
        options.end_with_json("apps", {"apps": listed})
        _show_apps(options, listed)
        return
    if options.device and is_address(options.device):
        from microclaw.cli.direct_programs import list_directly  # with the compiler, which the host has otherwise

        list_directly(options, options.device, board)
        return
    query = {"device": options.device} if options.device else None
    _show_apps(options, options.fetch("apps", "/v1/apps", query)["apps"])


def _show_apps(options: GlobalOptions, apps: Sequence[Mapping[str, Any]]) -> None:
    rows = [
        (program_name(a["name"]), a["device"], a["condition"], _pins(a), a["heap_bytes"], a["error"] or _origin(a))
        for a in apps
    ]
    options.table(rows, head=("NAME", "DEVICE", "STATE", "PINS", "HEAP", "NOTE"), empty="no programs on any device")


@app_group.command()
def show(ctx: typer.Context, name: str) -> None:
    """Show one program, with its source where it is known."""
    options = global_options(ctx)
    device = device_with_program(options, options.host(), name)
    found = options.fetch("app", f"/v1/devices/{segment(device)}/apps/{segment(name)}")
    for key in ("name", "device", "condition", "error", "heap_bytes", "size_bytes", "sha256"):
        if found[key] is not None:
            options.line(f"{key:<12} {found[key]}")
    options.line(f"{'pins':<12} {_pins(found)}")
    if origin := found["origin"]:
        options.line(f"{'entry':<12} {origin['entry']} {origin['version']}, from {origin['catalog']}")
    if found["runs"]:
        options.line(f"{'runs':<12} {_runs(found['runs'])}")
        options.line(f"{'':<12} {found['runs']['text']}")
    if found["source"]:
        options.line()
        options.line(found["source"])


@app_group.command()
def undo(
    ctx: typer.Context,
    change: Annotated[int | None, typer.Argument(help="A change's number; else all of the newest request.")] = None,
    anyone: Annotated[bool, typer.Option("--anyone", help="Also what other people did.")] = False,
) -> None:
    """Take back all that your last request changed, or one change."""
    options = global_options(ctx)
    host = options.host()
    asked = {"change_id": change, "device": options.device, "anyone": anyone}
    options.wrote_json("undo", follow(options, host, "/v1/undo", asked))  # its steps have told each change


@app_group.command()
def uninstall(ctx: typer.Context, name: str, board: _Board = "virtual", when_back: WhenBackOption = False) -> None:
    """Take a program off a device; with -d HOST:PORT, without a host."""
    options = global_options(ctx)
    if options.chooses_many:
        from microclaw.cli.many_devices import act_on_many

        path = later_path(f"/v1/apps/{segment(name)}/remove", when_back=when_back)
        act_on_many(options, options.host(), f"Take {name} off", path, {}, "removals")
        return
    if options.device and is_address(options.device):
        refuse_when_back(when_back=when_back)
        from microclaw.cli.direct_programs import uninstall_directly

        uninstall_directly(options, options.device, name, board)
        return
    host = options.host()
    device = device_with_program(options, host, name)
    path = later_path(f"/v1/devices/{segment(device)}/apps/{segment(name)}", when_back=when_back)
    made = follow(options, host, path, method="DELETE")
    if end_deferred(options, made):
        return
    options.report("removal", made, f"{made['name']} is off {made['device']} ({made['evidence']['text']})")


@app_group.command()
def cancel(ctx: typer.Context, name: str) -> None:
    """Drop what is deferred for a program until its device is back (--when-back)."""
    options = global_options(ctx)
    _refuse_address(options, "cancel what is deferred for")
    host = options.host()
    device = device_with_program(options, host, name)
    done = host.programs.cancel_deferred(device, name)
    said = f"the {done['deferred']['act']} of {done['name']} on {done['device']} is dropped; nothing was changed there"
    options.report("cancelled", done, said)


@app_group.command()
def stop(ctx: typer.Context, name: str, when_back: WhenBackOption = False) -> None:
    """Stop a program: it is off the device, stays off after a reset, and its image is kept for a start."""
    _switch(ctx, name, "stop", "Stop {} on", "is stopped on", when_back=when_back)


@app_group.command()
def start(ctx: typer.Context, name: str, when_back: WhenBackOption = False) -> None:
    """Start a program that was stopped, or that has ended, from its kept image."""
    _switch(ctx, name, "start", "Start {} on", "is started on", when_back=when_back)


@app_group.command()
def restart(ctx: typer.Context, name: str) -> None:
    """Take a program off and put the same image there again."""
    _switch(ctx, name, "restart", "Restart {} on", "is restarted on")


@app_group.command()
def upgrade(
    ctx: typer.Context,
    name: str,
    file: Annotated[
        Path | None,
        typer.Argument(help="Source or a .wasm file; without it the newer version of its catalogue."),
    ] = None,
    optimization: OptimizationOption = "O3",
    expect: Annotated[Path | None, typer.Option("--expect", metavar="FILE", help=EXPECT_HELP)] = None,
    when_back: WhenBackOption = False,
) -> None:
    """Put a new version of a program where it is; the old one comes back where the new one is not verified."""
    options = global_options(ctx)
    if file is None:
        from microclaw.cli.catalog_upgrades import upgrade_from_catalogs

        if not options.chooses_many:
            _refuse_address(options, "upgrade")
        if expect is not None or optimization != "O3":
            raise ConfigError("-O and --expect are of a FILE", next_step=f"microclaw app upgrade {name} FILE")
        upgrade_from_catalogs(options, name)
        return
    body = {"optimization": optimization, **program_body(file, expect)}
    if options.chooses_many:
        from microclaw.cli.many_devices import act_on_many

        path = later_path(f"/v1/apps/{segment(name)}/upgrade", when_back=when_back)
        act_on_many(options, options.host(), f"Upgrade {name} on", path, body, "upgrades")
        return
    _refuse_address(options, "upgrade")
    host = options.host()
    device = device_with_program(options, host, name)
    path = later_path(f"/v1/devices/{segment(device)}/apps/{segment(name)}/upgrade", when_back=when_back)
    made = follow(options, host, path, body)
    if not end_deferred(options, made):
        options.report("upgrade", made, made["text"])


@app_group.command("set")
def set_times(
    ctx: typer.Context,
    name: str,
    every: Annotated[str | None, typer.Option("--every", metavar="TIME|off", help=EVERY_HELP)] = None,
    stop_after: Annotated[str | None, typer.Option("--stop-after", metavar="TIME|off", help=STOP_AFTER_HELP)] = None,
) -> None:
    """Change when a program runs; a time that is not given stays. It is tried with them, and begins anew."""
    options = global_options(ctx)
    body: dict[str, Any] = {}
    for key, option, text in (("every_ms", "--every", every), ("stop_after_ms", "--stop-after", stop_after)):
        if text is not None:
            body[key] = None if text == "off" else parse_time_ms(text, option)
    if not body:
        raise ConfigError(
            "nothing to set", next_step=f"microclaw app set {name} --every 10m --stop-after 30s; --every off drops it"
        )
    if options.chooses_many:
        from microclaw.cli.many_devices import act_on_many

        path = f"/v1/apps/{segment(name)}/times"
        act_on_many(options, options.host(), f"Set when {name} runs on", path, body, "deployments")
        return
    _refuse_address(options, "set the times of")
    host = options.host()
    device = device_with_program(options, host, name)
    made = follow(options, host, f"/v1/devices/{segment(device)}/apps/{segment(name)}/times", body)
    if made.get("unchanged"):
        options.report("deployment", made, made["text"])
        return
    end_install(options, made)


def _refuse_address(options: GlobalOptions, act: str) -> None:
    if options.device and is_address(options.device):
        raise ConfigError(
            f"to {act} a program needs the host that installed it: it has the image",
            next_step="microclaw up, then the device's name with -d",
        )


def _switch(ctx: typer.Context, name: str, switch: str, asked: str, done: str, *, when_back: bool = False) -> None:
    options = global_options(ctx)
    if options.chooses_many:
        from microclaw.cli.many_devices import act_on_many

        path = later_path(f"/v1/apps/{segment(name)}/{switch}", when_back=when_back)
        act_on_many(options, options.host(), asked.format(name), path, {}, "switched")
        return
    _refuse_address(options, switch)
    host = options.host()
    device = device_with_program(options, host, name)
    path = later_path(f"/v1/devices/{segment(device)}/apps/{segment(name)}/{switch}", when_back=when_back)
    made = follow(options, host, path)
    if end_deferred(options, made):
        return
    options.report("switched", made, f"{made['name']} {done} {made['device']} ({made['evidence']['text']})")
    if not made["verified"]:
        raise typer.Exit(FAILED)


@app_group.command()
def changes(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most N.")] = 20,
    tries: Annotated[bool, typer.Option("--tries", help="The programs that a model wrote, and their faults.")] = False,
) -> None:
    """The changes made to the devices, newest first."""
    options = global_options(ctx)
    if tries:
        _show_tries(options, options.fetch("tries", "/v1/tries", {"limit": limit})["tries"])
        return
    query: dict[str, str | int] = {"limit": limit}
    if options.device:
        query["device"] = options.device
    found = options.fetch("changes", "/v1/changes", query)["changes"]
    rows = [(c["change_id"], c["device"], c["state"], c["summary"], _undone(c)) for c in found]
    options.table(rows, head=("NUMBER", "DEVICE", "STATE", "WHAT", "UNDO"), empty="nothing was changed yet")


def _show_tries(options: GlobalOptions, tried: list[dict[str, Any]]) -> None:
    rows = [
        (t["app"], str(t["number"]), t["state"], t["source_sha256"][:12], t["message"] or "", t["error"] or "")
        for t in tried
    ]
    head = ("APP", "TRY", "STATE", "SOURCE", "WHAT", "ERROR")
    options.table(rows, head=head, empty="no model wrote a program yet")


def _undone(change: dict[str, Any]) -> str:
    if change["undone_by"]:
        return f"undone by {change['undone_by']}"
    return f"undoes {change['undoes']}" if change["undoes"] else ""


def _origin(app: Mapping[str, Any]) -> str:
    if app["deferred"] is not None:
        since = time.strftime("%a %d %b %H:%M", time.localtime(app["deferred"]["since_ms"] / 1000))
        return f"{app['deferred']['act']} since {since}, done when {app['device']} is back"
    if app["runs"]:
        return _runs(app["runs"])
    if app["name"] == PIN_PROGRAM:
        return "microclaw's: holds what exec set"
    return "of another host" if app["foreign"] else ""


def _runs(runs: dict[str, Any]) -> str:
    """ "every 10 min, stopped after 30 s; next at 14:20; last run 14:10, ended by itself in 2 s"."""
    parts = [RunTimes(runs["every_ms"], runs["stop_after_ms"]).text()]
    if runs["kept_by"] == "host":
        parts[0] += " (needs the host)"
    if runs["running_since_ms"] is not None:
        parts.append(f"runs since {_clock(runs['running_since_ms'])}")
    if runs["next_ms"] is not None:
        parts.append(f"next at {_clock(runs['next_ms'])}")
    if runs["last_ms"] is not None:
        parts.append(f"last run {_clock(runs['last_ms'])}, {how_text(runs['last_how'], runs['last_took_ms'])}")
    if runs["missed"]:
        parts.append(f"{runs['missed']} times the run before still went on, and none was begun")
    if runs["problem"]:
        parts.append(runs["problem"])
    return "; ".join(parts)


def _clock(ms: int) -> str:
    """The time of day; with the day where it is another one."""
    moment, today = time.localtime(ms / 1000), time.localtime()
    return time.strftime("%H:%M:%S" if moment[:3] == today[:3] else "%a %d %b %H:%M", moment)


def _pins(app: Mapping[str, Any]) -> str:
    return ", ".join(str(pin) for pin in app["pins"]) or "-"
