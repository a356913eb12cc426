"""Programs without a host: tried on a throw-away virtual board, or on a board at an address, by the host's own stages
over a store that is thrown away.
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

from microclaw.apps import operations as programs
from microclaw.apps.building import ProgramImage, cached_compiler, fit_limits
from microclaw.apps.change_log import ChangeLog
from microclaw.apps.changes import ProgramChanges
from microclaw.apps.deployment import ChangeRequest, Deployment
from microclaw.apps.expectation_result import NO_EXPECTATION
from microclaw.apps.expectation_text import parse_expectations
from microclaw.apps.fleet_operations import FleetProgram
from microclaw.apps.installer import Installer
from microclaw.apps.results import Deployed
from microclaw.apps.run_times import check_times, run_times
from microclaw.apps.silence import explain_silence
from microclaw.apps.stage_text import check_text, compile_text, trial_detail
from microclaw.apps.standing import removal_text
from microclaw.apps.trial import Trial, TrialOptions, try_image
from microclaw.apps.trial_plan import parse_duration_ms, parse_input
from microclaw.boards.profile import BoardProfile
from microclaw.builds.cache import BuildCache
from microclaw.cli.call_commands import board_at, check_offered
from microclaw.cli.operation_commands import Stages, show
from microclaw.cli.options import GlobalOptions
from microclaw.clock import now_ms
from microclaw.devices.calls import AppUninstall
from microclaw.devices.registry import Registry
from microclaw.errors import AppNotFound, MicroclawError
from microclaw.events import PROGRAM_KINDS, Step
from microclaw.store.database import Database
from microclaw.store.devices import DeviceRow, DeviceTable
from microclaw.terminal.page import Terminal
from microclaw.text import code_lines, count_text
from microclaw.transports.open import open_transport
from microclaw.wasm.compile import read_module
from microclaw.wire.host_api import failure_of
from microclaw.wire.wasmachine.request import DEFAULT_HEAP_BYTES, DEFAULT_TIMERS

MAX_LOG_LINES: Final = 20


def run_directly(options: GlobalOptions, target: str, values: Mapping[str, Any], board: BoardProfile) -> None:
    """Build, check, try, install and verify, as a host does. Every program that is there counts as somebody else's.

    Exit code 1 when the board's evidence contradicts the trial.
    """
    options.only_here(f"a program for {target}")
    fields = {name: values[name] for name in FleetProgram.__struct_fields__ if name in values}
    request = convert({**fields, "devices": []}, FleetProgram).request()
    request = replace(request, device=target, replace=values["replace"], force=values["force"])
    deployment = asyncio.run(_deploy(options, board, request))
    show(options, programs.install, Deployed.of(deployment, change_id=UNSET))  # nobody keeps the change


async def _deploy(options: GlobalOptions, board: BoardProfile, request: ChangeRequest) -> Deployment:
    stages = Stages(options, options.terminal())
    async with _changes(options, request.device, board) as changes:
        try:
            return await changes.deploy(request, stages.event)
        except MicroclawError as exc:
            stages.failed(failure_of(exc))
            raise
        finally:
            stages.flush()


@asynccontextmanager
async def _changes(options: GlobalOptions, target: str, board: BoardProfile) -> AsyncIterator[ProgramChanges]:
    """A host's changes for one board; what it writes down is gone afterwards."""
    settings = options.settings()
    with TemporaryDirectory(prefix="microclaw-") as folder:
        async with Database.open(Path(folder) / "store.db") as database:
            table = DeviceTable(database)
            await table.put(DeviceRow("d-direct", target, board.board_id, transports=(target,), created_ms=now_ms()))
            registry = Registry(
                store=table,
                open_transport=partial(open_transport, lock_folder=settings.cache / "locks"),
                load_board=lambda *_: board,
                mint_id=lambda: "d-direct",
                now_ms=now_ms,
            )
            change_log, cache = ChangeLog(database), BuildCache(settings.cache)
            registry.explain_silence = partial(explain_silence, change_log)
            async with registry:
                yield ProgramChanges(
                    Installer(registry, change_log),
                    compile=cached_compiler(cache),
                    try_image=partial(try_image, cache=cache),
                )


def uninstall_directly(options: GlobalOptions, target: str, name: str) -> None:
    """Take a program off a board. AppNotFound, or DeployRejected when it is still listed."""
    options.only_here(f"a removal from {target}")
    look = f"microclaw exec {target} apps.list"

    async def take_off() -> str:
        async with board_at(target) as device:
            check_offered(device, AppUninstall(name))
            try:
                await device.call(AppUninstall(name), wait=False)
            except AppNotFound as exc:
                raise AppNotFound(exc.message, next_step=look) from exc
            return await removal_text(device, name, asyncio.sleep, next_step=f"restart the board, then {look}")

    options.report("removal", {"name": name, "device": target}, asyncio.run(take_off()))


def try_program(
    options: GlobalOptions, values: Mapping[str, Any], board: BoardProfile, duration: str, inputs: Sequence[str]
) -> None:
    """Build it and try it. Exit code 1 when the trial failed."""
    times = run_times(values.get("every_ms"), values.get("stop_after_ms"))
    heap, timers = fit_limits(board, values["heap_bytes"], DEFAULT_TIMERS)
    trial_options = TrialOptions(
        for_ms=parse_duration_ms(duration),
        inputs=tuple(parse_input(text) for text in inputs),
        heap_bytes=heap,
        timers=timers,
        expectations=parse_expectations(values["expect"]) if "expect" in values else None,
        times=times,
    )
    image = build_program(options, values, board)
    check_times(times, image.kind)
    trial = asyncio.run(try_image(image, board, trial_options, cache=BuildCache(options.settings().cache)))
    if not options.wrote_json("try", {**trial.to_json(), "diagnostics": [one.to_json() for one in image.warnings]}):
        _show_trial(options.terminal(), trial)
    if not trial.ok:
        raise Exit(1)


def build_program(options: GlobalOptions, values: Mapping[str, Any], board: BoardProfile) -> ProgramImage:
    """Compile what `program_values` has, or check its wasm, and show that. Raises BuildError, ConfigError."""
    name, level = values["name"], values.get("optimization", "O3")
    if "wasm" in values:
        image: ProgramImage = read_module(base64.b64decode(values["wasm"]), board, name=name)
    else:
        build = cached_compiler(BuildCache(options.settings().cache))
        image = asyncio.run(build(values["source"], board, name, level, values["language"], PROGRAM_KINDS))
    if not options.json and not options.quiet:
        detail = tuple(line for found in image.warnings for line in code_lines(found.render()))
        took_ms = None if image.cached or not image.compile_ms else image.compile_ms
        options.terminal().step(Step("compile", compile_text(image, level), detail=detail, took_ms=took_ms))
        options.terminal().row("check", check_text(image, values.get("heap_bytes", DEFAULT_HEAP_BYTES)))
    return image


def _show_trial(terminal: Terminal, trial: Trial) -> None:
    done, detail = Step("try", trial.summary()), trial_detail(trial)
    if not trial.ok:
        done = Step("try", trial.error or trial.summary(), "failed", next_step=trial.next_step)
    terminal.step(replace(done, detail=detail))
    for pin in trial.pins:
        if edges := [edge for edge in trial.edges if edge.pin == pin]:
            note = f"{trial.board_ms / 1000:g} s, {count_text(len(edges), 'edge')}"
            terminal.track(pin, edges, start_ms=0, end_ms=trial.board_ms, level=1 - edges[0].level, note=note)
    for line in trial.log[:MAX_LOG_LINES]:
        terminal.row("log", line.rstrip("\n"))
    if len(trial.log) > MAX_LOG_LINES:
        terminal.row("", f"and {len(trial.log) - MAX_LOG_LINES} more lines (--json has all)")
    if trial.ok and not trial.expected:
        terminal.row("proof", f"{NO_EXPECTATION} (--expect FILE)")
    if trial.peak_heap_bytes or trial.peak_stack_bytes:
        terminal.row("memory", f"heap {trial.peak_heap_bytes:,} B and stack {trial.peak_stack_bytes:,} B at most")
