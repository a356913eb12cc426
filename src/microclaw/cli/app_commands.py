"""`microclaw app`: build programs, put them on devices, list them, take changes back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from microclaw.apps import operations as programs
from microclaw.apps.results import AppList
from microclaw.apps.run_times import parse_time_ms
from microclaw.cli.firmware_option import FirmwareOption, described_board
from microclaw.cli.many_devices import chosen_names
from microclaw.cli.operation_commands import perform, show
from microclaw.cli.options import command_group, global_options
from microclaw.cli.programs import (
    EVERY_HELP,
    EXPECT_HELP,
    STOP_AFTER_HELP,
    CompilerOption,
    OptimizationOption,
    WhenBackOption,
    end_install,
    program_values,
    refuse_when_back,
    run,
)
from microclaw.cli.targets import is_address
from microclaw.errors import ConfigError

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
        host = options.host()
        names = set(chosen_names(options, host))
        listed = [app for app in host.call(programs.list_apps).apps if app.device in names]
        show(options, programs.list_apps, AppList(apps=listed))
    elif options.device and is_address(options.device):
        from microclaw.cli.direct_programs import list_directly  # with the compiler, which the host has otherwise

        list_directly(options, options.device, board)
    else:
        perform(options, programs.list_apps, {})


@app_group.command()
def uninstall(ctx: typer.Context, name: str, board: _Board = "virtual", when_back: WhenBackOption = False) -> None:
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
    if file is not None:
        values = {"name": name, "optimization": optimization, "when_back": when_back, **program_values(file, expect)}
        perform(options, programs.upgrade, values)
        return
    from microclaw.cli.catalog_upgrades import upgrade_from_catalogs

    if expect is not None or optimization != "O3":
        raise ConfigError("-O and --expect are of a FILE", next_step=f"microclaw app upgrade {name} FILE")
    upgrade_from_catalogs(options, name)


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
