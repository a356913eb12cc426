"""Tools that deploy, list, remove and switch programs and set their times. The fields are those of LLMos' WASM tools.

The work itself is done in apps/.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from microclaw.devices.registry.device import Device
from microclaw.devices.registry.target import DeviceParameters, device_tool
from microclaw.errors import DeviceSilent, DeviceUnreachable, MicroclawError, StoreError, ToolRetry
from microclaw.events import Evidence
from microclaw.host.auth.gate import Effect, Permission
from microclaw.host.operations.tool import Tool, ToolContext, ToolOutput, with_moments
from microclaw.host.store.apps import DraftRow
from microclaw.programs.building import ProgramImage
from microclaw.programs.changes.authors import own_programs
from microclaw.programs.changes.catalogue import AppListing
from microclaw.programs.changes.claims import runs_once
from microclaw.programs.changes.deployment import ChangeRequest, ChangeResult
from microclaw.programs.changes.program_requests import removal_permission
from microclaw.programs.changes.program_state import not_found
from microclaw.programs.changes.results import AppWithSource
from microclaw.programs.changes.services import AppServices
from microclaw.programs.changes.stage_text import RUNS_AGAIN
from microclaw.programs.changes.unresponsive_boards import way_to_reset
from microclaw.programs.proof.expectation_result import NO_EXPECTATION, ExpectationResult
from microclaw.programs.proof.expectation_text import MAX_TEXT_CHARS, parse_expectations
from microclaw.programs.proof.expectations import Expectations
from microclaw.programs.proof.trial import Trial
from microclaw.programs.run_times import time_or_off
from microclaw.text import MAX_PROGRAM_CHARS
from microclaw.wire.wasmachine.request import DEFAULT_HEAP_BYTES

_log = logging.getLogger(__name__)

EXPECT: Final = (
    "What the person wants to see, one a line, written before the program: `pin 2: period 1 s +- 5 %, duty 50 %`, "
    "`when pin 4 falls: pin 2 rises within 50 ms`, `pin 3: high for 200 ms`, `pin 3: rises at 0 s, 5 s`, "
    '`pwm 5: 0 -> 100 % within 2 s`, `log every 5 s ~ "temp .*"`, `pin 7: never high while pin 8 high`; from outside: '
    "`set pin 4 = 0 at 2 s`, `i2c.bme280.temperature = 31 at 4 s`. All forms: skill expectations. "
    "Not met: not deployed."
)
_NOT_WHOLE: Final = frozenset({"before", "proof", "sha256", "source"})
MAX_SOURCE_BYTES: Final = 5_500  # of a source in one result, which holds 8 KiB with the rest
_ON_THE_BOARD = frozenset({"waiting", "running", "listed", "ended", "trapped", "dead"})


SourceCode: TypeAlias = Annotated[
    str,
    Meta(min_length=1, max_length=MAX_PROGRAM_CHARS, description="The program: C, C++, an Arduino sketch, or Python."),
]


class _OnAddress(DeviceParameters, kw_only=True, rename="camel"):
    device_ip: Annotated[str, Meta(description="Its address instead of its name.")] | None = None


class DeployParameters(_OnAddress, kw_only=True, rename="camel"):
    source_code: SourceCode
    app_name: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9_-]{1,31}$",
            description="Letters, digits, - and _. The device's program of that name is replaced.",
        ),
    ]
    heap_size: Annotated[
        int, Meta(ge=1024, le=131_072, description="App heap in bytes; the memory that a Python program claims.")
    ] = DEFAULT_HEAP_BYTES
    optimization_level: Literal["O0", "O1", "O2", "O3", "Os", "Oz"] = "O3"
    expect: Annotated[str, Meta(max_length=MAX_TEXT_CHARS, description=EXPECT)] | None = None


class QueryParameters(_OnAddress, kw_only=True, rename="camel"):
    app_name: str | None = None


class ReadProgramParameters(DeviceParameters, kw_only=True, rename="camel"):
    app_name: Annotated[str, Meta(min_length=1, max_length=126)]
    first_line: Annotated[int, Meta(ge=1)] = 1


class UninstallParameters(_OnAddress, kw_only=True, rename="camel"):
    app_name: Annotated[str, Meta(min_length=1, max_length=126)]


class SwitchParameters(DeviceParameters, kw_only=True, rename="camel"):
    app_name: Annotated[str, Meta(min_length=1, max_length=126)]
    switch: Literal["stop", "start", "restart"]


class TimesParameters(DeviceParameters, kw_only=True, rename="camel"):
    """A time that is left out stays as it is."""

    app_name: Annotated[str, Meta(min_length=1, max_length=126)]
    every: Annotated[str, Meta(max_length=20, description="How often it begins: 30s, 10m, 1h; off.")] | None = None
    stop_after: Annotated[str, Meta(max_length=20, description="How long each run may last: 5s; off.")] | None = None

    def new_times(self) -> dict[str, int | None]:
        given = {"every_ms": self.every, "stop_after_ms": self.stop_after}
        new = {name: time_or_off(text) for name, text in given.items() if text is not None}
        if not new:
            raise ToolRetry("nothing to set", next_step="give every or stopAfter, as 10m, or off to drop it")
        return new


async def complete_device(apps: AppServices, asked: Any, context: ToolContext) -> Any:
    """For `Tool.complete`: names the device of a program, where none is named and only one of several has it."""
    program = getattr(asked, "app_name", None) or getattr(asked, "app", None)
    named = asked.device or getattr(asked, "device_ip", None) or context.device
    boards = [device for device in apps.registry.list() if device.board.pins]
    if named or program is None or len(boards) < 2:
        return asked
    holders = [device.name for device in boards if await apps.change_log.holds(device.device_id, program)]
    if len(holders) == 1:
        return replace(asked, device=holders[0])
    return asked


def program_tools(apps: AppServices) -> tuple[Tool[Any], ...]:
    """deploy-wasm-app, query-wasm-apps, read-program, uninstall-wasm-app, switch-program, set-program-times."""

    async def deploy(device: Device, asked: DeployParameters, context: ToolContext) -> ToolOutput:
        try:
            request = replace(_request(device, asked), approve=context.approve)
            done = await apps.changes.deploy(request, context.report)
        except MicroclawError as exc:
            await keep_draft(device, asked, context, exc.message)
            raise
        with _store_may_fail():
            await apps.change_log.drop_draft(device.device_id, asked.app_name)
        fields = {
            "deviceIp": _address(device),
            "binarySize": done.image.size_bytes,
            "heapSize": asked.heap_size,
            "pins": sorted({*done.image.pins, *done.trial.pins}),
            "replaced": done.replaced,
            "verified": done.verified,
            "trial": done.trial.summary(),
            **proof_fields(done.trial, done.expected),
            "log": list(done.trial.log[:10]),
            "warnings": warnings_of(done.image, done.trial),
        }
        what = "replaced" if done.replaced else "deployed"
        return _made(done, f"{what} {done.name} on {done.device_name}", **fields)

    async def keep_draft(device: Device, asked: DeployParameters, context: ToolContext, problem: str) -> None:
        row = DraftRow(
            device_id=device.device_id,
            name=asked.app_name,
            at_ms=apps.change_log.now_ms(),
            person=context.person_id,
            source=asked.source_code,
            expect=asked.expect,
            problem=problem,
        )
        with _store_may_fail():
            await apps.change_log.put_draft(row)

    async def try_planned_deploy(device: Device, asked: DeployParameters, context: ToolContext) -> str | None:
        """Build, check and try the program; return what the trial has not of it.

        What is on the device by then nobody knows, so nothing there counts.
        """
        prepared = await apps.changes.prepare(_request(device, asked), context.report, later=())
        return prepared.trial.untried

    async def query(device: Device, asked: QueryParameters, context: ToolContext) -> ToolOutput:
        listed = await apps.catalogue.list_apps(device.name)
        if any(app.is_away for app in listed):
            raise _away(device, listed)
        there = [app for app in listed if app.condition in _ON_THE_BOARD]
        if asked.app_name is not None:
            _check_there(device, asked.app_name, listed)
            there = [app for app in there if app.name == asked.app_name]
        fields = {
            "deviceIp": _address(device),
            "apps": [_app(app) for app in there],
            "count": len(there),
            "missing": [app.name for app in listed if app.condition == "missing"],
            "stopped": [app.name for app in listed if app.condition == "stopped"],
            "message": f"Found {len(there)} WASM app(s) on {device.name}",
        }
        evidence = Evidence("reported", f"listed by {device.name} itself")
        # The board chose the name of a foreign app, and a program the words of its error.
        may_quote = any(app.foreign for app in there)
        failed_names = {app.name for app in there if app.error}
        if failed_names and not may_quote:
            own = await own_programs(apps.change_log, device.device_id, context.person_id)
            may_quote = not failed_names <= own.words
        return ToolOutput(fields, (evidence,), foreign=may_quote)

    async def read(device: Device, asked: ReadProgramParameters, context: ToolContext) -> ToolOutput:
        program = await apps.catalogue.show(device.device_id, asked.app_name)
        own = await own_programs(apps.change_log, device.device_id, context.person_id)
        may_quote = program.name not in own.sources
        if program.error or program.crashes:
            may_quote = program.name not in own.words
        return ToolOutput(program_fields(program, asked.first_line), foreign=may_quote)

    async def uninstall_permission(device: Device, asked: UninstallParameters, context: ToolContext) -> Permission:
        if context.is_planned:
            is_ours = await apps.change_log.holds(device.device_id, asked.app_name)
            return Permission.ACT if is_ours else Permission.RISKY
        return removal_permission(asked.app_name, await apps.catalogue.list_apps(device.name))

    async def check_uninstall(device: Device, asked: UninstallParameters, _: ToolContext) -> None:
        _check_there(device, asked.app_name, await apps.catalogue.list_apps(device.name))

    async def uninstall(device: Device, asked: UninstallParameters, context: ToolContext) -> ToolOutput:
        done = await apps.changes.apply(ChangeRequest(device.name, asked.app_name, "uninstall"), context.report)
        message = f"removed {done.name} from {done.device_name}"
        return _made(done, message, deviceIp=_address(device), undoable=done.undoable)

    async def switch(device: Device, asked: SwitchParameters, context: ToolContext) -> ToolOutput:
        done = await apps.changes.apply(ChangeRequest(device.device_id, asked.app_name, asked.switch), context.report)
        if asked.switch == "stop":
            what = "stopped"
        else:
            what = f"{asked.switch}ed"
        return _made(done, f"{what} {done.name} on {done.device_name}", switch=asked.switch, verified=done.verified)

    async def set_times(device: Device, asked: TimesParameters, context: ToolContext) -> ToolOutput:
        new = asked.new_times()
        request = ChangeRequest(device.device_id, asked.app_name, approve=context.approve)
        made = await apps.changes.set_times(request, context.report, **new)
        if made.trial.times:
            runs = made.trial.times.text()
        else:
            runs = "once, and on"
        return _made(made, f"{made.name} on {made.device_name} runs {runs}", runs=runs, verified=made.verified)

    async def find_planned(
        device: Device, asked: UninstallParameters | SwitchParameters | TimesParameters, _: ToolContext
    ) -> str | None:
        """Return a warning if the host has no such program there now; another schedule may install it first."""
        if await apps.change_log.holds(device.device_id, asked.app_name):
            return None
        return f"not tried: this host has no {asked.app_name} on {device.name} now"

    async def try_planned_times(device: Device, asked: TimesParameters, context: ToolContext) -> str | None:
        asked.new_times()
        return await find_planned(device, asked, context)

    tool = partial(device_tool, apps.registry)
    complete = partial(complete_device, apps)
    act = (Permission.ACT, Effect.IDEMPOTENT)
    once = (Permission.ACT, Effect.ONCE)
    on_deploy: dict[str, Any] = {"has_preview": True, "try_planned": try_planned_deploy}
    deploys = (
        "Compile a program in the device's language, check it, try it on a virtual board, put it on the device and "
        "verify it there."
    )
    lists = "List a device's programs, with their state and pins."
    reads = "A program's source, proof, error and crashes. Read it before you change it."
    switches = "Stop a program and keep it for later, start a stopped one again, or restart one."
    times = "Set when an installed program runs: begun again every so often, each run stopped after a time."
    removal: dict[str, Any] = {"required_permission": uninstall_permission, "check": check_uninstall}
    on_program: dict[str, Any] = {"complete": complete, "try_planned": find_planned}
    on_times: dict[str, Any] = {"complete": complete, "try_planned": try_planned_times}
    removal |= {"words": "remove {app_name} from {device}", **on_program}
    off = "Take a program off a device."
    words = "{switch} {app_name} on {device}"
    return (
        tool("deploy-wasm-app", deploys, DeployParameters, deploy, *act, **on_deploy),
        tool("query-wasm-apps", lists, QueryParameters, query, complete=complete),
        tool("read-program", reads, ReadProgramParameters, read, complete=complete),
        tool("uninstall-wasm-app", off, UninstallParameters, uninstall, *act, **removal),
        tool("switch-program", switches, SwitchParameters, switch, *once, words=words, **on_program),
        tool("set-program-times", times, TimesParameters, set_times, *once, has_preview=True, **on_times),
    )


@contextmanager
def _store_may_fail() -> Iterator[None]:
    """Let a draft be lost: what became of the program is what counts."""
    try:
        yield
    except StoreError as exc:
        _log.warning("a draft was not kept or removed: %s", exc.message)


def _request(device: Device, asked: DeployParameters) -> ChangeRequest:
    return ChangeRequest(
        device=device.name,
        name=asked.app_name,
        source=asked.source_code,
        heap_bytes=asked.heap_size,
        optimization=asked.optimization_level,
        expectations=expectations_of(asked.expect),
    )


def _check_there(device: Device, name: str, listed: Sequence[AppListing]) -> None:
    if name not in (names := [app.name for app in listed]):
        raise not_found(device, name, names)


def _made(done: ChangeResult, message: str, **more: Any) -> ToolOutput:
    """The result of a change of a program."""
    fields = {"appName": done.name, "change": done.change_id, **more, "message": message}
    return ToolOutput(fields, (done.evidence,))


def _address(device: Device) -> str:
    """That of LLMos; the name of a device without a WASMachine transport."""
    endpoints = (endpoint.partition("://") for endpoint in device.endpoints)
    return next((address for scheme, _, address in endpoints if scheme == "wasmachine"), device.name)


def _away(device: Device, listed: Sequence[AppListing]) -> DeviceUnreachable | DeviceSilent:
    silence = next((app.error for app in listed if app.error is not None), None)
    if silence is not None:  # it takes connections and answers nothing
        step = f"close other clients of it, as it serves one at a time; else {way_to_reset(device)}"
        return DeviceSilent(silence, next_step=step)
    wanted = ", ".join(app.name if app.deferred is None else f"{app.deferred.act} {app.name}" for app in listed)
    step = "check its power and network; the host puts its programs back when it returns"
    return DeviceUnreachable(f"{device.name} does not answer; wanted there: {wanted}", next_step=step)


def expectations_of(text: str | None) -> Expectations | None:
    """Read what a model wrote; the error goes back to it with line, column and what to write instead."""
    if text is not None and text.strip():
        return parse_expectations(text)
    return None


def proof_fields(trial: Trial, expected: Sequence[ExpectationResult]) -> dict[str, Any]:
    """The fields of the proof: each expectation's answer, or that there was none."""
    fields: dict[str, Any] = {"expected": [result.line() for result in expected] or NO_EXPECTATION}
    return fields | ({"inputsTried": list(trial.probes)} if trial.probes else {})


def warnings_of(image: ProgramImage, trial: Trial) -> list[str]:
    if runs_once(trial):
        again = [RUNS_AGAIN]
    else:
        again = []
    return [*(found.render() for found in image.warnings[:5]), *trial.warnings[:5], *again]


def _app(app: AppListing) -> dict[str, Any]:
    runs = None if app.runs is None else app.runs.text
    told = {"runs": runs, "foreign": app.foreign, "error": app.error}
    fields = {"name": app.name, "heap": app.heap_bytes, "state": app.condition, "pins": list(app.pins)}
    return fields | {name: value for name, value in told.items() if value}


def program_fields(program: AppWithSource, first_line: int) -> dict[str, Any]:
    """A program for a model: its source from that line on, as far as a result holds it, and what is known of it."""
    known = with_moments(msgspec.to_builtins(program)).items()
    fields = {name: value for name, value in known if value is not None and name not in _NOT_WHOLE}
    if program.proof is not None:
        proof = program.proof
        fields["proof"] = f"{proof['proof']} ({proof['evidence']['text']})"
        fields["expected"] = [f"{line['text']}: {line['answer']}" for line in proof["expected"]]
    if program.source is not None:
        fields |= _source_fields(program.source, first_line)
    return fields


def _source_fields(source: str, first_line: int) -> dict[str, Any]:
    """The lines of a source that fit, at least one, and the number of the next."""
    lines = source.split("\n")
    piece: list[str] = []
    room = MAX_SOURCE_BYTES
    for line in lines[first_line - 1 :]:
        room -= len(json.dumps(line, ensure_ascii=False).encode())
        if room < 0 and piece:
            break
        piece.append(line)
    fields: dict[str, Any] = {"source": "\n".join(piece), "lines": len(lines)}
    next_line = first_line + len(piece)
    if next_line <= len(lines):
        fields["next"] = f"read on: read-program with firstLine {next_line}"
    return fields
