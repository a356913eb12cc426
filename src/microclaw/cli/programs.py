"""`microclaw run` and installing: sends a program to the host and shows its stages. It compiles nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer
from msgspec import to_builtins

from microclaw.apps import operations as programs
from microclaw.apps.act_results import Deployed
from microclaw.apps.building import program_language
from microclaw.apps.run_times import RunTimes, parse_run_times, times_body
from microclaw.cli.firmware_option import FirmwareOption, described_board
from microclaw.cli.operation_commands import perform, show
from microclaw.cli.options import FAILED, GlobalOptions, global_options
from microclaw.cli.program_files import (
    WASM_MAGIC,
    app_name,
    optimization_level,
    read_expectations,
    read_program,
    source_text,
)
from microclaw.cli.targets import is_address
from microclaw.errors import ConfigError
from microclaw.operations.client import Client
from microclaw.operations.connection import HostError
from microclaw.wire.host_api import Failure

CompilerOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--compiler", metavar="NAME", help="zig, wasi-sdk, clang, docker or podman; the first that is here without it."
    ),
]
WhenBackOption: TypeAlias = Annotated[
    bool,
    typer.Option("--when-back", help="Where the device does not answer: done when it is back, and told then."),
]
EVERY_HELP = "Begin it anew so often: 30s, 10m, 1h."
STOP_AFTER_HELP = "Stop each run after this time."
EveryOption: TypeAlias = Annotated[str | None, typer.Option("--every", metavar="TIME", help=EVERY_HELP)]
StopAfterOption: TypeAlias = Annotated[str | None, typer.Option("--stop-after", metavar="TIME", help=STOP_AFTER_HELP)]
NameOption: TypeAlias = Annotated[
    str | None, typer.Option("--name", help="The app's name; the file's without its ending otherwise.")
]
HeapOption: TypeAlias = Annotated[
    int,
    typer.Option("--heap", min=256, max=16 << 20, help="The app's heap in bytes."),
]
OptimizationOption: TypeAlias = Annotated[
    str,
    typer.Option("-O", "--optimization", callback=optimization_level, help="O0, O1, O2, O3, Os or Oz."),
]
EXPECT_HELP = "What it must do, one expectation a line (docs/proof.md)."


def run(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="C, C++ or Python source, a sketch (.ino) or a .wasm file.")],
    name: NameOption = None,
    heap: HeapOption = 8192,
    optimization: OptimizationOption = "O3",
    replace: Annotated[bool, typer.Option("--replace", help="Take over a name that another host's app holds.")] = False,
    board: Annotated[str, typer.Option("--board", help="With -d HOST:PORT: the board's profile.")] = "virtual",
    force: Annotated[bool, typer.Option("--force", help="Install it although its trial failed.")] = False,
    expect: Annotated[Path | None, typer.Option("--expect", metavar="FILE", help=EXPECT_HELP)] = None,
    firmware: FirmwareOption = None,
    every: EveryOption = None,
    stop_after: StopAfterOption = None,
    when_back: WhenBackOption = False,
) -> None:
    """Build, check, try, install and verify a program. With -d HOST:PORT, no host is needed."""
    options = global_options(ctx)
    name = app_name(file, name)
    if not options.chooses_many and options.device and is_address(options.device):
        refuse_when_back(when_back=when_back)
        # with the compiler, which the host has otherwise
        from microclaw.cli.direct_programs import DirectRun, run_directly

        profile = described_board(board, firmware)
        refuse_times(parse_run_times(every, stop_after))
        asked = DirectRun(options.device, file, name, profile, optimization, heap, replace, force, expect)
        run_directly(options, asked)
        return
    if firmware is not None:
        raise ConfigError(
            "--firmware is of one run with -d HOST:PORT; a device keeps its description",
            next_step="microclaw device add NAME --firmware KEY=VALUE",
        )
    values: dict[str, Any] = {
        "name": name,
        "heap_bytes": heap,
        "optimization": optimization,
        "replace": replace,
        "force": force,
        "when_back": when_back,
        **times_body(every, stop_after),
        **program_values(file, expect),
    }
    install_program(options, values)


def install_program(options: GlobalOptions, values: dict[str, Any]) -> None:
    perform(options, programs.install, values, loses=partial(_replaced_on, values), end=end_install)


def refuse_when_back(*, when_back: bool) -> None:
    """Raise ConfigError for a board at an address: without a host nobody is there when it comes back."""
    if when_back:
        raise ConfigError(
            "--when-back needs a host, which keeps the act until the board is back",
            next_step="microclaw up, then the device's name with -d",
        )


def refuse_times(times: RunTimes | None) -> None:
    """Raise ConfigError for a board at an address: without a host nobody is there to begin the next run."""
    if times is not None:
        raise ConfigError(
            "--every and --stop-after need a host: this firmware has no intervals",
            next_step="microclaw up, then the device's name with -d",
        )


def program_values(file: Path, expect: Path | None) -> dict[str, Any]:
    """The program of a file, and what it must do."""
    content = read_program(file)
    body: dict[str, Any] = {}
    if content.startswith(WASM_MAGIC):
        body["wasm"] = base64.b64encode(content).decode()
    else:
        body["source"] = source_text(content, file)
        body["language"] = program_language(file.name)
    if expect is not None:
        body["expect"] = read_expectations(expect).text
    return body


def _replaced_on(values: Mapping[str, Any], host: Client, devices: Sequence[str]) -> list[str]:
    """Of these devices, those that have another program of this name, one from other source or bytes."""
    name = values["name"]
    there = [app for app in host.call(programs.list_apps).apps if app.name == name and app.device in devices]
    if "wasm" in values:
        mine = hashlib.sha256(base64.b64decode(values["wasm"])).hexdigest()
        return [app.device for app in there if app.sha256 != mine]
    shown = [host.call(programs.show, device=app.device, name=name) for app in there]
    return [app.device for app in shown if app.source != values["source"]]


def end_install(options: GlobalOptions, made: Deployed) -> None:
    """Write the document with --json, else what is proved. Exit code 1 when the evidence contradicts the trial."""
    if made.instead is not None:
        show(options, programs.install, made)
    elif not options.wrote_json("deployment", to_builtins(made)) and not options.quiet:
        hint = "" if made.expected else " (--expect FILE)"
        options.terminal().row("proof", f"{made.proof}{hint}")
    if not made.exit_code:
        return
    if options.quiet and not options.json:  # the step that says so was not shown
        text = f"{made.name} is on {made.device}, but not verified: {made.told}"
        raise HostError(Failure("not_verified", text, f"microclaw logs {made.device}"))
    raise typer.Exit(FAILED)
