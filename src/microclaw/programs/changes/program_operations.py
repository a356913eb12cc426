"""The acts on a program that is being written: it is checked and tried. They change no device."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, structs, to_builtins

from microclaw.errors import (
    BuildError,
    ConfigError,
    Diagnostic,
    MicroclawError,
)
from microclaw.events import PROGRAM_KINDS, Evidence, ProgramKind, Step
from microclaw.host.operations.forms import Steps
from microclaw.host.operations.operation import OperationCall, operation
from microclaw.host.operations.result import Result, SourceFinding, findings
from microclaw.network_use import NetworkUse
from microclaw.programs.changes.program_requests import Expect, Heap, Hosts, Language, Optimization, WiringText
from microclaw.programs.named_hosts import read_hosts
from microclaw.programs.proof.expectation_error import EXPECTATIONS_FILE, ExpectationError
from microclaw.text import MAX_PROGRAM_CHARS
from microclaw.wire.host_api import evidence_object
from microclaw.wire.wasmachine.request import DEFAULT_HEAP_BYTES, DEFAULT_TIMERS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from microclaw.hardware.boards.profile import BoardProfile
    from microclaw.hardware.parts.wiring import Wiring
    from microclaw.programs.building import ProgramImage
    from microclaw.programs.changes.queues import CompileQueue, Turns
    from microclaw.programs.changes.services import AppServices
    from microclaw.programs.proof.trial import Trial, TrialOptions

MAX_LOG_LINES = 200
VIRTUAL = "virtual"


class TrialBench(Struct, frozen=True):
    """The functions of programs/bench that draw a program's bench, before its trial and over the trial's time."""

    draft: Callable[[ProgramImage | None, BoardProfile, str | None, Wiring | None], Struct]
    play: Callable[[Trial, BoardProfile], Struct]


class BuildContext(Struct, frozen=True):
    """The parts that the acts work with."""

    apps: AppServices
    compiling: CompileQueue
    trials: Turns
    bench: TrialBench


Text = Annotated[str, Meta(min_length=1, max_length=MAX_PROGRAM_CHARS, description="The program.")]
Name = Annotated[str, Meta(max_length=63, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", description="The program's name.")]
Device = Annotated[str | None, Meta(max_length=80, description="For the board of this device.")]
Board = Annotated[str | None, Meta(max_length=80, description="A board of no device: virtual, without either.")]
Whole = Annotated[int, Meta(gt=-(2**53), lt=2**53)]


class CheckedProgram(Result, frozen=True, kw_only=True):
    """`ok` false: it is no program for this board; `message` and `next` say why, `findings` where.

    `pins` and `network` are those that the source names, `text` what the checks found, in one line. `bench` has the
    board and the parts that a trial of it would have, as GET bench has them; its `message` says what is wrong with the
    wiring. Findings of the file "expectations" are about the lines of `expect`.
    """

    ok: bool
    board: str
    findings: list[SourceFinding]
    message: str | UnsetType = UNSET
    next: str | UnsetType | None = UNSET
    kind: ProgramKind | UnsetType = UNSET
    compiler: str | UnsetType = UNSET
    size_bytes: int | UnsetType = UNSET
    pins: list[int] | UnsetType = UNSET
    network: NetworkUse | UnsetType = UNSET
    text: str | UnsetType = UNSET
    bench: dict[str, Any] | UnsetType = UNSET


@operation("program.check", http="POST /v1/programs/check")
async def check(  # noqa: PLR0913, RUF100 - one parameter for each field of the request
    workshop: BuildContext,
    call: OperationCall,
    source: Text,
    *,
    name: Name = "program",
    language: Language = None,
    device: Device = None,
    board: Board = None,
    optimization: Optimization = "O3",
    heap_bytes: Heap = DEFAULT_HEAP_BYTES,
    wiring: WiringText = None,
    hosts: Hosts = [],  # noqa: B006  msgspec makes a list for each
    expect: Expect = None,
    bench: Annotated[bool, Meta(description="With `bench`: the board and parts of its trial.")] = False,
) -> CheckedProgram:
    """Check a program, before anything is done."""
    profile, build = _building(workshop, call, device, board)
    image = None
    try:
        image = await build(source, name=name, optimization=optimization, language=language, hosts=read_hosts(hosts))
        checked = _checked(image, profile, heap_bytes)
    except BuildError as exc:
        checked = CheckedProgram(
            ok=False,
            board=profile.board_id,
            findings=findings(exc.diagnostics),
            message=exc.message,
            next=exc.next_step,
        )
    record = _record_of(workshop, device)
    error = None
    if expect is not None:
        error = _expectation_error(expect, image, profile, wiring, record)
    if error is not None:
        checked = _refused(checked, error)
    if not bench:
        return checked
    drawn = workshop.bench.draft(image, profile, wiring, record)
    return structs.replace(checked, bench=to_builtins(drawn))


def _checked(image: ProgramImage, profile: BoardProfile, heap_bytes: int) -> CheckedProgram:
    from microclaw.programs.building import fit_claim
    from microclaw.programs.changes.stage_text import check_text

    return CheckedProgram(
        ok=True,
        board=profile.board_id,
        findings=findings(image.warnings),
        kind=image.kind,
        compiler=image.compiler,
        size_bytes=image.size_bytes,
        pins=list(image.pins),
        network=image.network,
        text=check_text(image, fit_claim(image, heap_bytes)),
    )


def _expectation_error(
    expect: str, image: ProgramImage | None, profile: BoardProfile, wiring: str | None, record: Wiring | None
) -> ConfigError | None:
    """Return what is wrong in the expectations, also with the parts that they name if the program can be built."""
    from microclaw.programs.proof.expectation_text import parse_expectations
    from microclaw.programs.proof.trial import TrialOptions, complete_options

    try:
        expectations = parse_expectations(expect)
    except ConfigError as exc:
        return exc
    if image is None:
        return None
    try:
        options = _with_wiring(TrialOptions(expectations=expectations), wiring, record)
        complete_options(options, image, profile)
    except ExpectationError as exc:
        return exc
    except MicroclawError:
        # The wiring is wrong, so the parts are not known; `bench` says it.
        return None
    return None


def _refused(checked: CheckedProgram, error: ConfigError) -> CheckedProgram:
    """Return the answer with an error of the expectations; the program's own comes first."""
    if isinstance(error, ExpectationError):
        wrong = error.findings
    else:
        wrong = (Diagnostic("error", error.message, EXPECTATIONS_FILE, hint=error.next_step),)
    every = [*checked.findings, *findings(wrong)]
    if not checked.ok:
        return structs.replace(checked, findings=every)
    return structs.replace(checked, ok=False, findings=every, message=error.message, next=error.next_step)


class InputLevel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A level that comes in from outside."""

    pin: Annotated[int, Meta(ge=0, le=255)]
    level: Annotated[int, Meta(ge=0, le=1)]
    at_ms: Annotated[int, Meta(ge=0, le=86_400_000)] = 0


@operation("program.try", http="POST /v1/programs/try", steps=Steps.CANCELLABLE)
async def try_out(  # noqa: PLR0913, RUF100 - one parameter for each field of the request
    workshop: BuildContext,
    call: OperationCall,
    source: Text,
    *,
    name: Name = "program",
    language: Language = None,
    device: Device = None,
    board: Board = None,
    optimization: Optimization = "O3",
    heap_bytes: Heap = DEFAULT_HEAP_BYTES,
    for_ms: Annotated[int, Meta(ge=1, le=3_600_000, description="Board time, which passes quickly.")] = 10_000,
    inputs: Annotated[list[InputLevel], Meta(max_length=64, description="Levels that come in from outside.")] = [],  # noqa: B006  msgspec makes a list for each
    expect: Expect = None,
    every_ms: Annotated[Whole | None, Meta(description="Start it again at this interval.")] = None,
    stop_after_ms: Annotated[Whole | None, Meta(description="Of each run.")] = None,
    wiring: WiringText = None,
    hosts: Hosts = [],  # noqa: B006  msgspec makes a list for each
    play: Annotated[bool, Meta(description="With `play`: the states of parts and pins over the trial's time.")] = False,
) -> dict[str, Any]:
    """Build, check and try a program on a throw-away virtual board: `ok`, `edges`, `log`, `evidence`, and `error`."""
    from microclaw.programs.changes.stage_text import built, fail

    profile, build = _building(workshop, call, device, board)
    with workshop.trials.place(call.person_id):
        program = build(source, name=name, optimization=optimization, language=language, hosts=read_hosts(hosts))
        image = await built(program, optimization, call.report)
        try:
            options = _trial_options(
                image, profile, heap_bytes, for_ms=for_ms, inputs=inputs, expect=expect, every_ms=every_ms,
                stop_after_ms=stop_after_ms,
            )  # fmt: skip
            options = _with_wiring(options, wiring, _record_of(workshop, device))
        except MicroclawError as exc:
            fail(call.report, "check", exc)
        trial = await _try_in_turn(workshop, call, image, profile, options)
    if not play:
        return _shown(trial, image)
    # In a thread: hundreds of changes and pictures take some tenths of a second.
    played = await asyncio.to_thread(workshop.bench.play, trial, profile)
    return {**_shown(trial, image), "play": to_builtins(played)}


async def _try_in_turn(
    workshop: BuildContext, call: OperationCall, image: ProgramImage, board: BoardProfile, options: TrialOptions
) -> Trial:
    """Try the image in the caller's turn, and report that."""
    from microclaw.programs.changes.stage_text import check_text, fail

    call.report(Step("check", check_text(image, options.heap_bytes)))
    call.report(Step("try", "on a throw-away virtual board", "running"))
    try:
        async with workshop.trials.turn(call.person_id):
            trial = await workshop.apps.try_image(image, board, options)
    except MicroclawError as exc:
        fail(call.report, "try", exc)
    call.report(trial_step(trial))
    return trial


def _trial_options(
    image: ProgramImage,
    profile: BoardProfile,
    claim_bytes: int,
    *,
    for_ms: int,
    inputs: Sequence[InputLevel],
    expect: str | None,
    every_ms: int | None,
    stop_after_ms: int | None,
) -> TrialOptions:
    """Return the options of a trial on this board. Raises the error of an option that the board or program refuses."""
    from microclaw.programs.building import fit_claim, fit_limits
    from microclaw.programs.proof.expectation_text import parse_expectations
    from microclaw.programs.proof.stimuli import PinStimulus
    from microclaw.programs.proof.trial import TrialOptions
    from microclaw.programs.run_times import check_times, run_times

    heap_bytes, timers = fit_limits(profile, fit_claim(image, claim_bytes), DEFAULT_TIMERS)
    expectations = None
    if expect is not None:
        expectations = parse_expectations(expect)
    times = run_times(every_ms, stop_after_ms)
    check_times(times, image.kind)
    return TrialOptions(
        for_ms,
        tuple(PinStimulus(each.pin, each.level, each.at_ms) for each in inputs),
        heap_bytes=heap_bytes,
        timers=timers,
        expectations=expectations,
        times=times,
    )


def _record_of(workshop: BuildContext, device: str | None) -> Wiring | None:
    """Return what is recorded as wired to a device."""
    if device is None:
        return None
    return workshop.apps.registry.get(device).record


def _with_wiring(options: TrialOptions, text: str | None, record: Wiring | None) -> TrialOptions:
    """Return the options with the wiring of this text, if there is one. Raises ConfigError, UnknownName."""
    from microclaw.hardware.parts.wiring_file import read_wiring_text

    if text is None:
        return structs.replace(options, record=record)
    return structs.replace(options, record=record, wiring=read_wiring_text(text))


def _building(
    workshop: BuildContext, call: OperationCall, device: str | None, board: str | None
) -> tuple[BoardProfile, Callable[..., Awaitable[ProgramImage]]]:
    """Return the board that is meant, and the function that compiles for it in the caller's turn."""
    from microclaw.hardware.boards import load_board

    if device is None:
        profile = load_board(board or VIRTUAL)
        kinds = PROGRAM_KINDS
    elif board is not None:
        raise ConfigError("the request has a device and a board", next_step="give one of the two")
    else:
        target = workshop.apps.registry.get(device)
        profile = target.board
        kinds = target.kinds
    return profile, partial(workshop.compiling.compile, board=profile, kinds=kinds, person_id=call.person_id)


def trial_step(trial: Trial) -> Step:
    """Return a trial's result as a stage."""
    from microclaw.programs.changes.stage_text import trial_detail

    text = trial.summary()
    state: Literal["done", "failed"] = "done"
    if not trial.ok:
        text = trial.error or text
        state = "failed"
    return Step(
        "try",
        text,
        state,
        trial_detail(trial),
        took_ms=trial.took_ms,
        next_step=trial.next_step,
        screens=trial.pictures,
    )


def _shown(trial: Trial, image: ProgramImage) -> dict[str, Any]:
    """Return a trial as `try --json` has it, in a bounded size: `edge_count` says how many edges there were."""
    from microclaw.programs.changes.deployment import MAX_PROOF_EDGES

    document = trial.to_json()
    most = {
        "edges": MAX_PROOF_EDGES,
        "pwm": MAX_PROOF_EDGES,
        "leds": MAX_LOG_LINES,
        "log": MAX_LOG_LINES,
        "traffic": MAX_LOG_LINES,
    }
    for key, count in most.items():
        document[key] = document[key][:count]
    return {
        **document,
        "edge_count": len(trial.edges),
        "driven": list(trial.driven),
        "size_bytes": image.size_bytes,
        "network": to_builtins(image.network),
        "findings": [warning.to_json() for warning in image.warnings],
        "evidence": evidence_object(Evidence("counted", f"on a throw-away virtual board: {trial.summary()}")),
    }
