"""Programs without a host: tried on a temporary virtual board, or installed on the board at an address.

The host's own stages do it, over a temporary store.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from click.exceptions import Exit
from msgspec import UNSET, convert
from msgspec.structs import replace

from microclaw.clock import now_ms
from microclaw.devices.registry.calls import AppUninstall
from microclaw.devices.registry.registry import Registry
from microclaw.devices.transports.open import open_transport
from microclaw.errors import AppNotFound, MicroclawError
from microclaw.events import PROGRAM_KINDS, Step
from microclaw.hardware.boards import load_board
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.host.operations.result import filled
from microclaw.host.store.database import Database
from microclaw.host.store.devices import DeviceRow, DeviceTable
from microclaw.interfaces.cli.call_commands import board_at
from microclaw.interfaces.cli.operation_commands import show, show_stages
from microclaw.interfaces.cli.options import FAILED, GlobalOptions
from microclaw.interfaces.terminal.page import Terminal
from microclaw.programs.building import ProgramImage, cached_compiler, fit_limits
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.changes import operations as programs
from microclaw.programs.changes.catalogue import Catalogue
from microclaw.programs.changes.change_log import ChangeLog
from microclaw.programs.changes.changes import ProgramChanges
from microclaw.programs.changes.deployment import ChangeRequest, Deployment
from microclaw.programs.changes.fleet_operations import FleetProgram
from microclaw.programs.changes.installer import Installer
from microclaw.programs.changes.program_operations import trial_step
from microclaw.programs.changes.program_state import removal_text
from microclaw.programs.changes.results import AppFacts, InstalledApps, deployment_view
from microclaw.programs.changes.stage_text import built, check_text
from microclaw.programs.changes.unresponsive_boards import explain_silence
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.trial import Trial, TrialOptions, try_image
from microclaw.programs.proof.trial_plan import parse_duration_ms, parse_input
from microclaw.programs.run_times import check_times, run_times
from microclaw.programs.wasm.compile import read_module
from microclaw.programs.wasm.pin_program import build_pin_program
from microclaw.text import count_text
from microclaw.wire.host_api import StreamResult, failure_of
from microclaw.wire.wasmachine.request import DEFAULT_HEAP_BYTES, DEFAULT_TIMERS

MAX_LOG_LINES: Final = 20


def run_directly(options: GlobalOptions, target: str, values: Mapping[str, Any], board: BoardProfile) -> None:
    """Build, check, try, install and verify, as a host does. Each program on the board counts as another host's.

    Exit code 1 if the board's evidence contradicts the trial.
    """
    options.only_here(f"a program for {target}")
    fields = {name: values[name] for name in FleetProgram.__struct_fields__ if name in values}
    request = convert({**fields, "devices": []}, FleetProgram).request()
    request = replace(request, device=target, replace=values["replace"], force=values["force"])
    deployment = asyncio.run(_deploy(options, board, request))
    # The change has no number, because the store with it is temporary.
    show(options, programs.install, replace(deployment_view(deployment), change_id=UNSET))


async def _deploy(options: GlobalOptions, board: BoardProfile, request: ChangeRequest) -> Deployment:
    report = show_stages(options, options.terminal())
    cache = BuildCache(options.settings().cache)
    async with _open_registry(options, request.device, board) as (registry, change_log):
        installer = Installer(registry, change_log)
        try_program_image = partial(try_image, cache=cache)
        changes = ProgramChanges(installer, compile=cached_compiler(cache), try_image=try_program_image)
        try:
            deployment = await changes.deploy(request, report)
        except MicroclawError as exc:
            report(failure_of(exc))
            raise
    # A last event shows a failed stage that did not end the work.
    report(StreamResult({}))
    return deployment


@asynccontextmanager
async def _open_registry(
    options: GlobalOptions, target: str, board: BoardProfile
) -> AsyncIterator[tuple[Registry, ChangeLog]]:
    """Give a registry with only the board at an address, and its empty change log."""
    locks = options.settings().cache / "locks"
    with TemporaryDirectory(prefix="microclaw-") as folder:
        async with Database.open(Path(folder) / "store.db") as database:
            table = DeviceTable(database)
            change_log = ChangeLog(database)
            await table.put(DeviceRow("d-direct", target, board.board_id, transports=(target,), created_ms=now_ms()))
            registry = Registry(
                store=table,
                open_transport=partial(open_transport, lock_folder=locks, build_pin_program=build_pin_program),
                load_board=lambda *_: board,
                mint_id=lambda: "d-direct",
                now_ms=now_ms,
            )
            registry.explain_silence = partial(explain_silence, change_log)
            async with registry:
                yield registry, change_log


def list_directly(options: GlobalOptions, target: str, _values: Mapping[str, Any]) -> None:
    """Show the programs of a board, as a host lists programs that it did not install."""
    options.only_here(f"a list of {target}")

    async def list_apps() -> InstalledApps:
        async with _open_registry(options, target, load_board("virtual")) as (registry, change_log):
            listings = await Catalogue(devices=registry, change_log=change_log).list_apps(target)
        return InstalledApps(apps=[filled(AppFacts, listing) for listing in listings])

    show(options, programs.list_apps, asyncio.run(list_apps()))


def uninstall_directly(options: GlobalOptions, target: str, values: Mapping[str, Any]) -> None:
    """Take a program off a board. Raises AppNotFound, or DeployRejected if it is still listed after that."""
    name = values["name"]
    options.only_here(f"a removal from {target}")
    look = f"microclaw exec {target} apps.list"
    call = AppUninstall(name)

    async def take_off() -> str:
        async with board_at(target, call) as device:
            try:
                await device.call(call, wait=False)
            except AppNotFound as exc:
                raise AppNotFound(exc.message, next_step=look) from exc
            return await removal_text(device, name, asyncio.sleep, next_step=f"restart the board, then {look}")

    options.report("removal", {"name": name, "device": target}, asyncio.run(take_off()))


# The functions for acts that take an address, and whose commands are derived from their declaration.
DIRECT: Final = {"app.list": list_directly, "app.uninstall": uninstall_directly}


def try_program(
    options: GlobalOptions, values: Mapping[str, Any], board: BoardProfile, duration: str, inputs: Sequence[str]
) -> None:
    """Build a program and try it on a virtual board. Exit code 1 if the trial failed."""
    times = run_times(values.get("every_ms"), values.get("stop_after_ms"))
    heap_bytes, timers = fit_limits(board, values["heap_bytes"], DEFAULT_TIMERS)
    expectations = None
    if "expect" in values:
        expectations = parse_expectations(values["expect"])
    trial_options = TrialOptions(
        for_ms=parse_duration_ms(duration),
        inputs=tuple(parse_input(text) for text in inputs),
        heap_bytes=heap_bytes,
        timers=timers,
        expectations=expectations,
        times=times,
    )
    image = build_program(options, values, board)
    check_times(times, image.kind)
    trial = asyncio.run(try_image(image, board, trial_options, cache=BuildCache(options.settings().cache)))
    diagnostics = [diagnostic.to_json() for diagnostic in image.warnings]
    if not options.wrote_json("try", {**trial.to_json(), "diagnostics": diagnostics}):
        _show_trial(options.terminal(), trial)
    if not trial.ok:
        raise Exit(FAILED)


def build_program(options: GlobalOptions, values: Mapping[str, Any], board: BoardProfile) -> ProgramImage:
    """Compile the program of `program_values`, or check its wasm, and show that. Raises BuildError, ConfigError."""
    name = values["name"]
    level = values.get("optimization", "O3")
    report = show_stages(options, options.terminal())
    if "wasm" in values:
        image: ProgramImage = read_module(base64.b64decode(values["wasm"]), board, name=name)
    else:
        build = cached_compiler(BuildCache(options.settings().cache))
        program = build(values["source"], board, name, level, values["language"], PROGRAM_KINDS)
        image = asyncio.run(built(program, level, report))
    report(Step("check", check_text(image, values.get("heap_bytes", DEFAULT_HEAP_BYTES))))
    return image


def _show_trial(terminal: Terminal, trial: Trial) -> None:
    """Print the trial's result, the tracks of its pins, and its first lines."""
    terminal.step(trial_step(trial))
    for pin in trial.pins:
        edges = [edge for edge in trial.edges if edge.pin == pin]
        if edges:
            note = f"{trial.board_ms / 1000:g} s, {count_text(len(edges), 'edge')}"
            terminal.track(pin, edges, start_ms=0, end_ms=trial.board_ms, level=1 - edges[0].level, note=note)
    for line in trial.log[:MAX_LOG_LINES]:
        terminal.row("log", line.rstrip("\n"))
    if len(trial.log) > MAX_LOG_LINES:
        terminal.row("", f"and {len(trial.log) - MAX_LOG_LINES} more lines (--json has all)")
    if trial.ok and not trial.expected:
        terminal.row("proof", f"{trial.proof} (--expect FILE)")
    if trial.peak_heap_bytes or trial.peak_stack_bytes:
        terminal.row("memory", f"heap {trial.peak_heap_bytes:,} B and stack {trial.peak_stack_bytes:,} B at most")
