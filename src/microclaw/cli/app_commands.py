"""`microclaw app`: programs of files and of catalogues: build, install, list, upgrade. Most acts are declared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import typer

from microclaw.apps import operations as programs
from microclaw.apps.results import AppList
from microclaw.apps.run_times import parse_time_ms
from microclaw.cli.catalog_upgrades import entry_values, upgrade_from_catalogs
from microclaw.cli.firmware_option import FirmwareOption, described_board
from microclaw.cli.known_devices import known_devices
from microclaw.cli.many_devices import chosen_device, chosen_names
from microclaw.cli.operation_commands import perform, show
from microclaw.cli.options import command_group, global_options
from microclaw.cli.programs import (
    EVERY_HELP,
    EXPECT_HELP,
    STOP_AFTER_HELP,
    CompilerOption,
    HeapOption,
    OptimizationOption,
    WhenBackOption,
    end_install,
    install_program,
    program_values,
    refuse_when_back,
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
_Sets: TypeAlias = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter, as pin=4; may repeat.")
]


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


@app_group.command()
def install(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Of a catalogue's entry (app search); a file: microclaw run FILE.")],
    sets: _Sets = None,
    only: Annotated[
        str | None, typer.Option("--from", metavar="DIR", help=f"This catalogue alone: a folder, or {SHIPPED}.")
    ] = None,
    app: Annotated[str | None, typer.Option("--name", help="The program's name on the board.")] = None,
    language: Annotated[
        Literal["c", "py"] | None, typer.Option("--in", help="c or py, where the board takes both.")
    ] = None,
    heap: HeapOption = 8192,
    replace: Annotated[bool, typer.Option("--replace", help="Take over a name that another host's app holds.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Install it although its trial failed.")] = False,
    when_back: WhenBackOption = False,
) -> None:
    """Build, check, try, install and verify a ready program, as `run` does with a file."""
    options = global_options(ctx)
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
def publish(
    ctx: typer.Context,
    what: Annotated[Path, typer.Argument(metavar="FILE|FOLDER", help="NAME.toml with its sources beside it.")],
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="The catalogue; the first of catalog.folders without it.")
    ] = None,
) -> None:
    """Build and try a catalogue's entry, and put it there when it does what it says; needs no host."""
    from microclaw.cli.catalog_publish import publish_entry  # with the compiler, which the host has otherwise

    publish_entry(global_options(ctx), what, to)


@app_group.command("list")
def list_apps(ctx: typer.Context) -> None:
    """What runs where; on a board at an address: microclaw exec HOST:PORT apps.list."""
    options = global_options(ctx)
    if not options.chooses_many:
        perform(options, programs.list_apps, {})
        return
    host = options.host()
    names = set(chosen_names(options, host))
    listed = [app for app in host.call(programs.list_apps).apps if app.device in names]
    show(options, programs.list_apps, AppList(apps=listed))


@app_group.command()
def uninstall(
    ctx: typer.Context,
    name: str,
    board: Annotated[str, typer.Option("--board", help="With -d HOST:PORT: the board's profile.")] = "virtual",
    when_back: WhenBackOption = False,
) -> None:
    """Take a program off a device; with -d HOST:PORT, without a host."""
    options = global_options(ctx)
    if not options.chooses_many and options.device and is_address(options.device):
        refuse_when_back(when_back=when_back)
        from microclaw.cli.direct_programs import uninstall_directly

        uninstall_directly(options, options.device, name, board)
    else:
        perform(options, programs.uninstall, {"name": name, "when_back": when_back})


@app_group.command()
def upgrade(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="A program's name; else all that are outdated.")] = None,
    file: Annotated[
        Path | None,
        typer.Argument(help="Source or a .wasm file; without it the newer version of its catalogue."),
    ] = None,
    optimization: OptimizationOption = "O3",
    expect: Annotated[Path | None, typer.Option("--expect", metavar="FILE", help=EXPECT_HELP)] = None,
    when_back: WhenBackOption = False,
    sets: _Sets = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what is newer, and change nothing.")] = False,
) -> None:
    """Put a new version of a program where it is; the old one comes back where the new one is not verified."""
    options = global_options(ctx)
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
def set_times(
    ctx: typer.Context,
    name: str,
    every: Annotated[str | None, typer.Option("--every", metavar="TIME|off", help=EVERY_HELP)] = None,
    stop_after: Annotated[str | None, typer.Option("--stop-after", metavar="TIME|off", help=STOP_AFTER_HELP)] = None,
) -> None:
    """Change when a program runs; a time that is not given stays. It is tried with them, and begins anew."""
    values: dict[str, Any] = {"name": name}
    for key, option, text in (("every_ms", "--every", every), ("stop_after_ms", "--stop-after", stop_after)):
        if text is not None:
            values[key] = None if text == "off" else parse_time_ms(text, option)
    perform(global_options(ctx), programs.set_times, values, end=end_install)


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
