"""The acts on programs as a model calls them: its arguments, the fields of its results, and the drafts that it wrote.

The names of arguments and fields are those of LLMos' WASM tools.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from microclaw.errors import DeployRejected, DeviceSilent, DeviceUnreachable, MicroclawError, PinClaimed, StoreError
from microclaw.events import Evidence
from microclaw.host.operations.forms import ToolForm
from microclaw.host.operations.tool import PlannedTrial, ToolOutput, with_moments
from microclaw.programs.changes.program_requests import (
    MAX_EXPECT_CHARS,
    ON_THE_BOARD,
    program_request,
)
from microclaw.text import MAX_PROGRAM_CHARS

if TYPE_CHECKING:
    from microclaw.devices.registry.act_tool import ToolUse
    from microclaw.devices.registry.device import Device
    from microclaw.network_use import NetworkUse
    from microclaw.programs.building import ProgramImage
    from microclaw.programs.changes.catalogue import AppListing
    from microclaw.programs.changes.deployment import ChangeRequest, ChangeResult, Deployment
    from microclaw.programs.changes.operations import ProgramContext
    from microclaw.programs.changes.results import AppCondition, AppWithSource
    from microclaw.programs.proof.expectation_result import ExpectationResult
    from microclaw.programs.proof.trial import Trial

    ProgramUse: TypeAlias = ToolUse[ProgramContext]

_log = logging.getLogger(__name__)

EXPECT: Final = (
    "What must be seen, as lines written before the program: `pin 2: period 1 s, duty 50 %`, "
    "`when pin 4 falls: pin 2 rises within 50 ms`, `pin 3: high for 200 ms, rises at 0 s, 5 s`, "
    '`pwm 5: 0 -> 100 % within 2 s`, `log every 5 s ~ "temp .*"`, `screen: "Hi" within 2 s`, '
    "`pin 7: never high while pin 8 high`; from outside: `set pin 4 = 0 at 2 s`, "
    "`i2c.SENSOR.temperature = 31 at 4 s`. All forms: skill expectations. Not met: not deployed."
)
# The length of a source in one result, which holds 8 KiB with the rest.
MAX_SOURCE_BYTES: Final = 5_500
_NOT_WHOLE: Final = frozenset({"before", "network", "proof", "sha256", "source"})
_MAX_WARNINGS: Final = 5
_MAX_LOG_LINES: Final = 10

SourceCode: TypeAlias = Annotated[
    str,
    Meta(min_length=1, max_length=MAX_PROGRAM_CHARS, description="C, C++, sketch or Python."),
]
Expected: TypeAlias = Annotated[str, Meta(max_length=MAX_EXPECT_CHARS, description=EXPECT)] | None
HeapSize: TypeAlias = Annotated[int, Meta(ge=1024, le=131_072, description="Bytes.")]
_NewName: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_-]{1,31}$",
        description="Replaces the program of that name.",
    ),
]
_Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=126)]
_Every: TypeAlias = Annotated[str, Meta(max_length=20, description="How often it begins: 30s, 10m, 1h; off.")]
_StopAfter: TypeAlias = Annotated[str, Meta(max_length=20, description="How long each run may last: 5s; off.")]


async def _deployed(use: ProgramUse, deployment: Deployment) -> ToolOutput:
    with _store_may_fail():
        await use.service.apps.change_log.drop_draft(use.device.device_id, deployment.name)
    image = deployment.image
    trial = deployment.trial
    fields = {
        "binarySize": image.size_bytes,
        "heapSize": deployment.heap_bytes,
        "pins": sorted({*image.pins, *trial.pins}),
        **network_fields(image.network),
        "replaced": deployment.replaced,
        "verified": deployment.verified,
        "trial": trial.summary(),
        **proof_fields(trial, deployment.expected),
        "log": list(trial.log[:_MAX_LOG_LINES]),
        "warnings": warnings_of(image, trial, autostart=use.values["autostart"]),
    }
    if deployment.warning is not None:
        fields["warning"] = deployment.warning
    what = "replaced" if deployment.replaced else "deployed"
    output = _changed(deployment, f"{what} {deployment.name} on {deployment.device_name}", **fields)
    return replace(output, screens=trial.pictures)


async def _keep_draft(use: ProgramUse, error: MicroclawError) -> None:
    """Keep the program that was not deployed."""
    from microclaw.host.store.apps import DraftRow

    change_log = use.service.apps.change_log
    row = DraftRow(
        device_id=use.device.device_id,
        name=use.values["name"],
        at_ms=change_log.now_ms(),
        person=use.context.person_id,
        source=use.values["source"],
        expect=use.arguments.expect,
        problem=error.message,
    )
    with _store_may_fail():
        await change_log.put_draft(row)


@contextmanager
def _store_may_fail() -> Iterator[None]:
    """Let a draft be lost: the outcome of the program is what counts."""
    try:
        yield
    except StoreError as exc:
        _log.warning("a draft was not kept or removed: %s", exc.message)


async def _describe_network(use: ProgramUse) -> tuple[str, ...]:
    """Return the line of what the program does on the network, none if it does nothing there or cannot be built."""
    apps = use.service.apps
    try:
        image = await apps.changes.build(use.device, _planned_request(use), lambda _step: None)
    except MicroclawError:
        # The call itself reports it.
        return ()
    if not image.network.text:
        return ()
    return (f"network of {image.name}: {image.network.text}",)


async def _try_deployment(use: ProgramUse) -> PlannedTrial:
    """Build, check and try the program; return what the trial has not of it, and who has its pins now.

    Nobody knows what will be on the device by then, so nothing there refuses it.
    """
    from microclaw.programs.changes.claims import check_free
    from microclaw.programs.changes.program_state import recall_program

    apps = use.service.apps
    there = await recall_program(apps.change_log, use.device, use.values["name"])
    prepared = await apps.changes.prepare(_planned_request(use), use.context.report, replace(there, wanted=()))
    warnings = [prepared.trial.untried] if prepared.trial.untried else []
    try:
        check_free(there, prepared.version)
    except (PinClaimed, DeployRejected) as exc:
        warnings.append(f"{exc.message} now; if that is still so then, this fails")
    return await apps.cautions.planned(use.device, prepared.version.pins, "; ".join(warnings) or None)


def _planned_request(use: ProgramUse) -> ChangeRequest:
    values = use.values
    return program_request(
        use.device.device_id,
        values["name"],
        source=values["source"],
        wasm=None,
        expect=values.get("expect"),
        heap_bytes=values["heap_bytes"],
        optimization=values["optimization"],
    )


async def _listed(use: ProgramUse, listings: Sequence[AppListing]) -> ToolOutput:
    """Return the fields of LLMos. Raises DeviceUnreachable, DeviceSilent, AppNotFound."""
    from microclaw.programs.changes.authors import own_programs
    from microclaw.programs.changes.program_state import not_found

    device = use.device
    if any(listing.is_away for listing in listings):
        raise _away(device, listings)
    shown = [listing for listing in listings if listing.condition in ON_THE_BOARD]
    name = use.arguments.appName
    if name is not None:
        if all(listing.name != name for listing in listings):
            raise not_found(device, name, [listing.name for listing in shown])
        shown = [listing for listing in shown if listing.name == name]
    fields = {
        "apps": list(map(_listing_fields, shown)),
        "count": len(shown),
        "missing": _names(listings, "missing"),
        "stopped": _names(listings, "stopped"),
        "message": f"Found {len(shown)} WASM app(s) on {device.name}",
    }
    # The board chose the name of a foreign app, and a program the words of its error.
    may_quote = False
    failed_names = set()
    for listing in shown:
        may_quote = may_quote or listing.foreign
        if listing.error:
            failed_names.add(listing.name)
    if failed_names and not may_quote:
        own = await own_programs(use.service.apps.change_log, device.device_id, use.context.person_id)
        may_quote = not failed_names <= own.words
    evidence = Evidence("reported", f"listed by {device.name} itself")
    return ToolOutput(fields, (evidence,), foreign=may_quote)


def _names(listings: Sequence[AppListing], condition: AppCondition) -> list[str]:
    return [listing.name for listing in listings if listing.condition == condition]


def _away(device: Device, listings: Sequence[AppListing]) -> DeviceUnreachable | DeviceSilent:
    from microclaw.programs.changes.unresponsive_boards import way_to_reset

    wanted = []
    for listing in listings:
        # The board takes connections and answers nothing.
        if listing.is_silent:
            step = f"close other clients of it, as it serves one at a time; else {way_to_reset(device)}"
            return DeviceSilent(listing.error or "no answer", next_step=step)
        if listing.deferred is None:
            wanted.append(listing.name)
        else:
            wanted.append(f"{listing.deferred.act} {listing.name}")
    step = "check its power and network; the host puts its programs back when it returns"
    return DeviceUnreachable(f"{device.name} does not answer; wanted there: {', '.join(wanted)}", next_step=step)


def _listing_fields(listing: AppListing) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "name": listing.name,
        "heap": listing.heap_bytes,
        "state": listing.condition,
        "pins": list(listing.pins),
    }
    fields |= network_fields(listing.network)
    if listing.runs is not None and listing.runs.text:
        fields["runs"] = listing.runs.text
    if listing.foreign:
        fields["foreign"] = True
    if listing.error:
        fields["error"] = listing.history
    return fields


async def _program(use: ProgramUse, program: AppWithSource) -> ToolOutput:
    from microclaw.programs.changes.authors import own_programs

    own = await own_programs(use.service.apps.change_log, use.device.device_id, use.context.person_id)
    may_quote = program.name not in own.sources
    if program.error or program.crashes:
        may_quote = program.name not in own.words
    return ToolOutput(_program_fields(program, use.arguments.firstLine), foreign=may_quote)


def _program_fields(program: AppWithSource, first_line: int) -> dict[str, Any]:
    """Return what is known of a program, with its source from that line on, as far as a result holds it."""
    fields = {}
    for name, value in with_moments(msgspec.to_builtins(program)).items():
        if value is not None and name not in _NOT_WHOLE:
            fields[name] = value
    fields |= network_fields(program.network)
    proof = program.proof
    if proof is not None:
        fields["proof"] = f"{proof['proof']} ({proof['evidence']['text']})"
        fields["expected"] = [f"{line['text']}: {line['answer']}" for line in proof["expected"]]
    if program.source is not None:
        fields |= _source_fields(program.source, first_line)
    return fields


def _source_fields(source: str, first_line: int) -> dict[str, Any]:
    """Return the lines of a source that fit, at least one, and the number of the next."""
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


async def _removed(_use: ProgramUse, change: ChangeResult) -> ToolOutput:
    return _changed(change, f"removed {change.name} from {change.device_name}", undoable=change.undoable)


async def _switched(use: ProgramUse, change: ChangeResult) -> ToolOutput:
    switch = use.values["switch"]
    what = "stopped"
    if switch != "stop":
        what = f"{switch}ed"
    message = f"{what} {change.name} on {change.device_name}"
    return _changed(change, message, switch=switch, verified=change.verified)


async def _timed(_use: ProgramUse, deployment: Deployment) -> ToolOutput:
    runs = "once, and on"
    if deployment.trial.times:
        runs = deployment.trial.times.text()
    message = f"{deployment.name} on {deployment.device_name} runs {runs}"
    return _changed(deployment, message, runs=runs, verified=deployment.verified)


async def _find_program(use: ProgramUse) -> PlannedTrial:
    """Return a warning if the host has no such program there now; another schedule may install it first."""
    name = use.values["name"]
    if await use.service.apps.change_log.holds(use.device.device_id, name):
        return PlannedTrial()
    return PlannedTrial(f"not tried: this host has no {name} on {use.device.name} now")


def _changed(change: ChangeResult, message: str, **more: Any) -> ToolOutput:
    """Return the result of a change of a program."""
    fields = {"appName": change.name, "change": change.change_id, **more, "message": message}
    return ToolOutput(fields, (change.evidence,))


def network_fields(network: NetworkUse) -> dict[str, Any]:
    """Return the field of what a program does on the network, none if it does nothing there."""
    return {"network": network.text} if network.text else {}


def proof_fields(trial: Trial, expected: Sequence[ExpectationResult]) -> dict[str, Any]:
    """Return the fields of the proof: each expectation's answer, or that there was none."""
    from microclaw.programs.proof.expectation_result import NO_EXPECTATION

    fields: dict[str, Any] = {"expected": [result.line() for result in expected] or NO_EXPECTATION}
    if trial.probes:
        fields["inputsTried"] = list(trial.probes)
    return fields


def warnings_of(image: ProgramImage, trial: Trial, *, autostart: bool = True) -> list[str]:
    """Return the first warnings of the compiler and of the trial."""
    from microclaw.programs.changes.claims import runs_once
    from microclaw.programs.changes.stage_text import RUNS_AGAIN

    warnings = [warning.render() for warning in image.warnings[:_MAX_WARNINGS]]
    warnings += trial.warnings[:_MAX_WARNINGS]
    if runs_once(trial) and autostart:
        warnings.append(RUNS_AGAIN)
    return warnings


DEPLOY: Final = ToolForm(
    "deploy-wasm-app",
    "Compile a program in the device's language, check it, try it on a virtual board, install and verify it.",
    fields={
        "source": "sourceCode",
        "name": "appName",
        "heap_bytes": "heapSize",
        "optimization": "optimizationLevel",
        "expect": "expect",
        "autostart": "autostart",
    },
    kinds={
        "source": SourceCode,
        "name": _NewName,
        "heap_bytes": HeapSize,
        "optimization": Literal["O0", "O1", "O2", "O3", "Os", "Oz"],
        "expect": Expected,
    },
    required=frozenset({"source"}),
    has_address=True,
    output=_deployed,
    failed=_keep_draft,
    try_planned=_try_deployment,
    describe=_describe_network,
)
QUERY: Final = ToolForm(
    "query-wasm-apps",
    "List a device's programs with state and pins.",
    fields={},
    extra={"appName": (str | None, None)},
    has_address=True,
    finds="appName",
    output=_listed,
)
READ: Final = ToolForm(
    "read-program",
    "A program's source, proof, error and crashes. Read it before a change.",
    fields={"name": "appName"},
    kinds={"name": _Name},
    extra={"firstLine": (Annotated[int, Meta(ge=1)], 1)},
    finds="appName",
    output=_program,
)
UNINSTALL: Final = ToolForm(
    "uninstall-wasm-app",
    fields={"name": "appName"},
    kinds={"name": _Name},
    has_address=True,
    finds="appName",
    output=_removed,
    try_planned=_find_program,
)
SWITCH: Final = ToolForm(
    "switch-program",
    fields={"name": "appName", "switch": "switch"},
    kinds={"name": _Name},
    finds="appName",
    output=_switched,
    try_planned=_find_program,
)
SET_TIMES: Final = ToolForm(
    "set-program-times",
    "Set when an installed program runs: begun again every so often, each run stopped after a time.",
    fields={"name": "appName", "every_ms": "every", "stop_after_ms": "stopAfter"},
    kinds={"name": _Name, "every_ms": _Every | None, "stop_after_ms": _StopAfter | None},
    one_of=("every", "stopAfter"),
    finds="appName",
    output=_timed,
    try_planned=_find_program,
)
