"""`microclaw run` and installing: sends a program to the host and shows its stages. It compiles nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from click.exceptions import Exit
from msgspec import to_builtins

from microclaw.apps import operations as programs
from microclaw.apps.act_results import Deployed
from microclaw.apps.building import program_language
from microclaw.apps.run_times import RunTimes, parse_run_times, times_body
from microclaw.boards.profile import BoardProfile
from microclaw.cli.firmware_option import described_board, firmware_option
from microclaw.cli.operation_commands import perform, show
from microclaw.cli.options import FAILED, GlobalOptions
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

compiler_option = click.option(
    "--compiler", metavar="NAME", help="zig, wasi-sdk, clang, docker or podman; the first that is here without it."
)
when_back_option = click.option(
    "--when-back", is_flag=True, help="Where the device does not answer: done when it is back, and told then."
)
EVERY_HELP = "Begin it anew so often: 30s, 10m, 1h."
STOP_AFTER_HELP = "Stop each run after this time."
every_option = click.option("--every", metavar="TIME", help=EVERY_HELP)
stop_after_option = click.option("--stop-after", metavar="TIME", help=STOP_AFTER_HELP)
name_option = click.option("--name", help="The app's name; the file's without its ending otherwise.")
heap_option = click.option("--heap", default=8192, type=click.IntRange(256, 16 << 20), help="The app's heap in bytes.")
optimization_option = click.option(
    "-O", "--optimization", default="O3", type=optimization_level, metavar="LEVEL", help="O0, O1, O2, O3, Os or Oz."
)
EXPECT_HELP = "What it must do, one expectation a line (docs/proof.md)."


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What `run` is asked for; `board` is of a trial and of a board at an address, as the person described it."""

    file: Path
    name: str
    heap_bytes: int
    optimization: str
    expect: Path | None
    times: RunTimes | None
    board: Callable[[], BoardProfile]
    replace: bool
    force: bool
    when_back: bool


@click.command()
@click.argument("file", type=Path, help="C, C++ or Python source, a sketch (.ino) or a .wasm file.")
@name_option
@heap_option
@optimization_option
@click.option("--expect", type=Path, metavar="FILE", help=EXPECT_HELP)
@every_option
@stop_after_option
@click.option("--replace", is_flag=True, help="Take over a name that another host's app holds.")
@click.option("--force", is_flag=True, help="Install it although its trial failed.")
@when_back_option
@click.option("--watch", "watches", is_flag=True, help="Run it at each save of its file, until Ctrl-C.")
@click.option("--try", "tries", is_flag=True, help="Only try it, on a virtual board, without a host.")
@click.option("--for", "duration", default="10s", metavar="TIME", help="With --try: board time, as 10s, 500ms, 2min.")
@click.option(
    "--set",
    "inputs",
    multiple=True,
    metavar="PIN=LEVEL[@TIME]",
    help="With --try: an input, as 14=1@2s, for an ADC 1=2.5V@2s; may repeat.",
)
@click.option("--realtime", is_flag=True, help="With --try: real time, no jumps.")
@compiler_option
@click.option("--board", default="virtual", help="With --try or -d HOST:PORT: the board's profile.")
@firmware_option
@click.pass_obj
def run(
    options: GlobalOptions,
    file: Path,
    name: str | None,
    heap: int,
    optimization: str,
    expect: Path | None,
    every: str | None,
    stop_after: str | None,
    replace: bool,
    force: bool,
    when_back: bool,
    watches: bool,
    tries: bool,
    duration: str,
    inputs: tuple[str, ...],
    realtime: bool,
    compiler: str | None,
    board: str,
    firmware: tuple[str, ...],
) -> None:
    """Build, check, try, install and verify a program. With -d HOST:PORT, no host is needed."""
    at_address = not options.chooses_many and options.device is not None and is_address(options.device)
    _check_mode(tries=tries, at_address=at_address)
    asked = RunRequest(
        file=file,
        name=app_name(file, name),
        heap_bytes=heap,
        optimization=optimization,
        expect=expect,
        times=parse_run_times(every, stop_after),
        board=partial(described_board, board, firmware),
        replace=replace,
        force=force,
        when_back=when_back,
    )

    def once() -> None:
        if tries:
            from microclaw.cli.trials import try_program  # with the compiler, which the host has otherwise

            try_program(options, asked, duration, inputs or (), compiler, realtime=realtime)
        elif at_address:
            from microclaw.cli.direct_programs import run_directly

            run_directly(options, str(options.device), asked)
        else:
            _run_on_host(options, asked, times_body(every, stop_after))

    if watches:
        from microclaw.cli.watch_command import run_at_each_save

        run_at_each_save(options, file, expect, once)
    else:
        once()


def _check_mode(*, tries: bool, at_address: bool) -> None:
    """Raise BadParameter for an option that would have no effect."""
    ctx = click.get_current_context()
    unused = {
        "--try": {"replace", "force", "when_back"} if tries else {"duration", "inputs", "realtime", "compiler"},
        "-d HOST:PORT": set() if tries or at_address else {"board", "firmware"},
    }
    for mode, names in unused.items():
        for one in ctx.command.params:
            if one.name in names and ctx.get_parameter_source(one.name) is ParameterSource.COMMANDLINE:
                raise click.BadParameter(f"{one.opts[0]} is {'not ' if tries else ''}of a run with {mode}")


def _run_on_host(options: GlobalOptions, asked: RunRequest, times: Mapping[str, Any]) -> None:
    values = {
        "name": asked.name,
        "heap_bytes": asked.heap_bytes,
        "optimization": asked.optimization,
        "replace": asked.replace,
        "force": asked.force,
        "when_back": asked.when_back,
        **times,
        **program_values(asked.file, asked.expect),
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
    raise Exit(FAILED)
