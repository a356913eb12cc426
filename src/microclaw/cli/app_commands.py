"""`microclaw app`: programs of files and of catalogues: build, install, list, upgrade. Most acts are declared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import click

from microclaw.apps import operations as programs
from microclaw.apps.results import AppList
from microclaw.apps.run_times import parse_time_ms
from microclaw.cli.catalog_upgrades import entry_values, upgrade_from_catalogs
from microclaw.cli.firmware_option import described_board, firmware_option
from microclaw.cli.known_devices import known_devices
from microclaw.cli.many_devices import chosen_device, chosen_names
from microclaw.cli.operation_commands import perform, show
from microclaw.cli.options import GlobalOptions, command_group
from microclaw.cli.programs import (
    EVERY_HELP,
    EXPECT_HELP,
    STOP_AFTER_HELP,
    compiler_option,
    end_install,
    heap_option,
    install_program,
    optimization_option,
    program_values,
    refuse_when_back,
    when_back_option,
)
from microclaw.cli.targets import is_address
from microclaw.devices.calls import AppInstall
from microclaw.devices.selection import names_text
from microclaw.errors import ConfigError
from microclaw.events import ProgramKind
from microclaw.operations.client import Client
from microclaw.patterns.catalog import KIND_OF, LANGUAGES, SHIPPED, Catalog, Entry
from microclaw.patterns.operations import folders_of

app_group = command_group()
_sets_option = click.option(
    "--set", "sets", multiple=True, metavar="NAME=VALUE", help="A parameter, as pin=4; may repeat."
)


@app_group.command()
@click.argument("file", type=Path, help="C, C++ or Python source, or a sketch (.ino).")
@click.option("-o", "--output", type=Path, help="Where the program goes; FILE.wasm, or FILE.mpy of Python.")
@click.option("--board", default="virtual", help="The board's profile.")
@optimization_option
@compiler_option
@firmware_option
@click.pass_obj
def build(
    options: GlobalOptions,
    file: Path,
    output: Path | None,
    board: str,
    optimization: str,
    compiler: str | None,
    firmware: tuple[str, ...],
) -> None:
    """Compile and check a program; needs no host."""
    from microclaw.cli.trials import build_file, image_contents, show_image

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


@app_group.command()
@click.argument("name", help="Of a catalogue's entry (app search); a file: microclaw run FILE.")
@_sets_option
@click.option("--from", "only", metavar="DIR", help=f"This catalogue alone: a folder, or {SHIPPED}.")
@click.option("--name", "app", help="The program's name on the board.")
@click.option("--in", "language", type=click.Choice(["c", "py"]), help="c or py, where the board takes both.")
@heap_option
@click.option("--replace", is_flag=True, help="Take over a name that another host's app holds.")
@click.option("--force", is_flag=True, help="Install it although its trial failed.")
@when_back_option
@click.pass_obj
def install(
    options: GlobalOptions,
    name: str,
    sets: tuple[str, ...],
    only: str | None,
    app: str | None,
    language: Literal["c", "py"] | None,
    heap: int,
    replace: bool,
    force: bool,
    when_back: bool,
) -> None:
    """Build, check, try, install and verify a ready program, as `run` does with a file."""
    if Path(name).suffix:
        raise ConfigError(f"{name} is a file; this installs ready programs", next_step=f"microclaw run {name}")
    entry = Catalog(folders_of(options.settings()), only=only).find(name)
    params = entry.values(sets or ())
    host = options.host()
    names = chosen_names(options, host) if options.chooses_many else [chosen_device(options, host)]
    values: dict[str, Any] = {
        "name": app or entry.app_name,
        "heap_bytes": heap,
        "replace": replace,
        "force": force,
        "when_back": when_back,
        **entry_values(options, entry, params, _kind(entry, host, names, language)),
    }
    options.say(entry.diagram(params))
    install_program(options, values)


@app_group.command()
@click.argument("what", type=Path, metavar="FILE|FOLDER", help="NAME.toml with its sources beside it.")
@click.option("--to", type=Path, metavar="DIR", help="The catalogue; the first of catalog.folders without it.")
@click.pass_obj
def publish(options: GlobalOptions, what: Path, to: Path | None) -> None:
    """Build and try a catalogue's entry, and put it there when it does what it says; needs no host."""
    from microclaw.cli.catalog_publish import publish_entry  # with the compiler, which the host has otherwise

    publish_entry(options, what, to)


@app_group.command("list")
@click.pass_obj
def list_apps(options: GlobalOptions) -> None:
    """What runs where; on a board at an address: microclaw exec HOST:PORT apps.list."""
    if not options.chooses_many:
        perform(options, programs.list_apps, {})
        return
    host = options.host()
    names = set(chosen_names(options, host))
    listed = [app for app in host.call(programs.list_apps).apps if app.device in names]
    show(options, programs.list_apps, AppList(apps=listed))


@app_group.command()
@click.argument("name")
@click.option("--board", default="virtual", help="With -d HOST:PORT: the board's profile.")
@when_back_option
@click.pass_obj
def uninstall(options: GlobalOptions, name: str, board: str, when_back: bool) -> None:
    """Take a program off a device; with -d HOST:PORT, without a host."""
    if not options.chooses_many and options.device and is_address(options.device):
        refuse_when_back(when_back=when_back)
        from microclaw.cli.direct_programs import uninstall_directly

        uninstall_directly(options, options.device, name, board)
    else:
        perform(options, programs.uninstall, {"name": name, "when_back": when_back})


@app_group.command()
@click.argument("name", required=False, help="A program's name; else all that are outdated.")
@click.argument(
    "file", required=False, type=Path, help="Source or a .wasm file; without it the newer version of its catalogue."
)
@optimization_option
@click.option("--expect", type=Path, metavar="FILE", help=EXPECT_HELP)
@when_back_option
@_sets_option
@click.option("--dry-run", is_flag=True, help="Show what is newer, and change nothing.")
@click.pass_obj
def upgrade(
    options: GlobalOptions,
    name: str | None,
    file: Path | None,
    optimization: str,
    expect: Path | None,
    when_back: bool,
    sets: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Put a new version of a program where it is; the old one comes back where the new one is not verified."""
    if file is None:
        if expect is not None or optimization != "O3" or when_back:
            raise ConfigError("-O, --expect and --when-back are of a FILE", next_step="microclaw app upgrade NAME FILE")
        upgrade_from_catalogs(options, name, sets or (), dry_run=dry_run)
        return
    if sets or dry_run:
        raise ConfigError("--set and --dry-run are of a catalogue", next_step="microclaw app upgrade NAME")
    values = {"name": name, "optimization": optimization, "when_back": when_back, **program_values(file, expect)}
    perform(options, programs.upgrade, values)


@app_group.command("set")
@click.argument("name")
@click.option("--every", metavar="TIME|off", help=EVERY_HELP)
@click.option("--stop-after", metavar="TIME|off", help=STOP_AFTER_HELP)
@click.pass_obj
def set_times(options: GlobalOptions, name: str, every: str | None, stop_after: str | None) -> None:
    """Change when a program runs; a time that is not given stays. It is tried with them, and begins anew."""
    values: dict[str, Any] = {"name": name}
    for key, option, text in (("every_ms", "--every", every), ("stop_after_ms", "--stop-after", stop_after)):
        if text is not None:
            values[key] = None if text == "off" else parse_time_ms(text, option)
    perform(options, programs.set_times, values, end=end_install)


def _kind(entry: Entry, host: Client, names: Sequence[str], language: str | None) -> ProgramKind:
    """The language that all of these devices take, the entry's preferred one first. Raises ConfigError."""
    rows = [one for one in known_devices(host) if {one.name, one.device_id} & set(names)]
    taking = [one for one in rows if AppInstall.method in one.capabilities]
    kinds = entry.kinds if language is None else (KIND_OF[language],)
    for kind in kinds:
        if all(kind in one.kinds for one in taking):
            return kind
    others = names_text([one.name for one in taking if kinds[0] not in one.kinds])
    text = f"{entry.name} is not for all of these boards: {others} take no {LANGUAGES[kinds[0]]}"
    raise ConfigError(f"{text}; {entry.missing}".rstrip("; "), next_step="choose others with -d, or --in c or py")
