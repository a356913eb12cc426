"""/v1/programs/check and /try: a program that is being written, checked and tried. They change no device."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from typing import Annotated, Any, Final, TypeVar
from weakref import WeakValueDictionary

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import Field
from starlette.exceptions import HTTPException

from microclaw.api.answers import CheckedProgram, answers
from microclaw.api.body import RequestBody, Whole
from microclaw.api.caller import Caller, RequestCaller
from microclaw.api.compile_routes import CompileQueue
from microclaw.api.jobs import Feed
from microclaw.api.parts import HostParts
from microclaw.apps.building import MAX_NAME_LENGTH, ProgramImage, ProgramLanguage
from microclaw.apps.deployment import MAX_PROOF_EDGES
from microclaw.apps.expectation_text import MAX_TEXT_CHARS, parse_expectations
from microclaw.apps.firmware_fit import DEFAULT_HEAP_BYTES, DEFAULT_TIMERS, fit_claim, fit_limits
from microclaw.apps.run_times import check_keeper, run_times
from microclaw.apps.stage_text import check_text, compile_text, fail, trial_detail
from microclaw.apps.trial import Trial, TrialInput, TrialOptions
from microclaw.auth.gate import Permission
from microclaw.auth.people import OWNER, person_behind
from microclaw.boards import BoardProfile, load_board
from microclaw.config.settings import Limits
from microclaw.errors import BuildError, ConfigError, MicroclawError, Overloaded
from microclaw.events import PROGRAM_KINDS, Evidence, ProgramKind, Step
from microclaw.text import code_lines
from microclaw.wire.host_api import Result, StreamEvent, evidence_object

TRIALS_AT_ONCE: Final = 2
MAX_TRIALS: Final = TRIALS_AT_ONCE + 8  # that run and wait
MAX_TRIALS_OF_PERSON: Final = 3
MAX_LOG_LINES: Final = 200
_Answer = TypeVar("_Answer")


class ProgramBody(RequestBody):
    """A program for the board of a `device`, or for a `board` of no device. Without `language` the source says it."""

    source: Annotated[str, Field(min_length=1, max_length=Limits().source_chars)]
    language: ProgramLanguage | None = None
    name: Annotated[str, Field(max_length=MAX_NAME_LENGTH, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")] = "program"
    device: Annotated[str, Field(max_length=80)] | None = None
    board: Annotated[str, Field(max_length=80)] = "virtual"
    optimization: Annotated[str, Field(pattern=r"^O[0-3sz]$")] = "O3"
    heap_bytes: Annotated[int, Field(ge=256, le=16 << 20)] = DEFAULT_HEAP_BYTES


class InputBody(RequestBody):
    """A level that comes in from outside."""

    pin: Annotated[int, Field(ge=0, le=255)]
    level: Annotated[int, Field(ge=0, le=1)]
    at_ms: Annotated[Whole, Field(ge=0, le=86_400_000)] = 0


class TryBody(ProgramBody):
    """`for_ms` is board time, which passes quickly; expectations may need more of it, and then have it."""

    for_ms: Annotated[Whole, Field(ge=1, le=3_600_000)] = 10_000
    inputs: Annotated[list[InputBody], Field(max_length=64)] = Field([])
    expect: Annotated[str, Field(max_length=MAX_TEXT_CHARS)] | None = None
    every_ms: Whole | None = None
    stop_after_ms: Whole | None = None

    def options(self, board: BoardProfile, image: ProgramImage) -> TrialOptions:
        heap_bytes, timers = fit_limits(board, fit_claim(image, self.heap_bytes), DEFAULT_TIMERS)
        return TrialOptions(
            self.for_ms,
            tuple(TrialInput(one.pin, one.level, one.at_ms) for one in self.inputs),
            heap_bytes=heap_bytes,
            timers=timers,
            expectations=None if self.expect is None else parse_expectations(self.expect),
            times=run_times(self.every_ms, self.stop_after_ms),
        )


class TrialQueue:
    """Few trials of programs at once, and few that wait; a person who is not the owner runs one, and few wait.

    One place is the owner's alone: nobody's trials make the owner's wait. A trial has its place from before its program
    is compiled until it ends.
    """

    def __init__(self) -> None:
        self._running = asyncio.Semaphore(TRIALS_AT_ONCE)
        self._others = asyncio.Semaphore(TRIALS_AT_ONCE - 1)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._held: Counter[str] = Counter()  # places, by person

    @contextmanager
    def place(self, person_id: str) -> Iterator[None]:
        """Take a place, or raise Overloaded."""
        self.check_room(person_id)
        whose = person_behind(person_id)
        self._held[whose] += 1
        try:
            yield
        finally:
            self._held[whose] -= 1
            self._held += Counter()  # forgets who holds none

    async def run(self, trial: Callable[[], Awaitable[Trial]], person_id: str) -> Trial:
        """Inside a `place`: wait for a turn, and run it."""
        async with AsyncExitStack() as turn:
            if person_id != OWNER.person_id:
                mine = self._turns.setdefault(person_behind(person_id), asyncio.Lock())
                await turn.enter_async_context(mine)
                await turn.enter_async_context(self._others)
            await turn.enter_async_context(self._running)
            return await trial()

    def check_room(self, person_id: str) -> None:
        """Raise Overloaded when the person, or all but the owner, have their places."""
        whose = person_behind(person_id)
        theirs = self._held[whose]
        others = self._held.total() - self._held[OWNER.person_id]
        is_owner = whose == OWNER.person_id
        if theirs >= (MAX_TRIALS if is_owner else MAX_TRIALS_OF_PERSON) or (not is_owner and others >= MAX_TRIALS):
            raise Overloaded(
                f"{theirs} of your trials run or wait already, and {others} of all people",
                next_step="try again in a while",
            )


def program_router(parts: HostParts, compiling: CompileQueue) -> APIRouter:
    router = APIRouter(prefix="/v1/programs", tags=["programs"])
    trials = TrialQueue()

    async def built(body: ProgramBody, by: Caller) -> ProgramImage:
        board, kinds = _board_of(parts, body)
        return await compiling.compile(
            body.source,
            board,
            name=body.name,
            optimization=body.optimization,
            language=body.language,
            kinds=kinds,
            person_id=by.person_id,
        )

    @router.post(
        "/check", summary="What is wrong with a program, before anything is done", responses=answers(CheckedProgram)
    )
    async def check_program(body: ProgramBody, by: RequestCaller, request: Request) -> dict[str, Any]:
        """A client that leaves ends its check."""
        parts.admission.gate.check(by.person_id, Permission.READ, f"check {body.name}")
        board, _ = _board_of(parts, body)
        try:
            image = await unless_left(request, built(body, by))
        except BuildError as exc:
            found = {"ok": False, "message": exc.message, "next": exc.next_step}
            return {"board": board.board_id, "findings": [one.to_json() for one in exc.diagnostics], **found}
        return {
            "ok": True,
            "board": board.board_id,
            "findings": [one.to_json() for one in image.warnings],
            "kind": image.kind,
            "compiler": image.compiler,
            "size_bytes": image.size_bytes,
            "pins": list(image.pins),
            "text": check_text(image, fit_claim(image, body.heap_bytes)),
        }

    @router.post("/try", summary="Build, check and try a program on a throw-away virtual board; steps as JSON lines")
    async def try_program(body: TryBody, by: RequestCaller) -> StreamingResponse:
        parts.admission.gate.check(by.person_id, Permission.READ, f"try {body.name}")
        board, _ = _board_of(parts, body)
        trials.check_room(by.person_id)

        async def trying(feed: Feed) -> StreamEvent:
            with trials.place(by.person_id):
                return await tried(feed)

        async def tried(feed: Feed) -> StreamEvent:
            started = time.perf_counter()
            try:
                image = await built(body, by)
            except BuildError as exc:
                fail(feed.put, "check" if exc.stage == "check" else "compile", exc)
            except MicroclawError as exc:
                fail(feed.put, "compile", exc)
            took_ms = (time.perf_counter() - started) * 1000
            detail = tuple(line for found in image.warnings for line in code_lines(found.render()))
            feed.put(Step("compile", compile_text(image, body.optimization), detail=detail, took_ms=took_ms))
            try:
                options = body.options(board, image)
                check_keeper(options.times, image.kind)
                feed.put(Step("check", check_text(image, options.heap_bytes)))
            except MicroclawError as exc:
                fail(feed.put, "check", exc)
            feed.put(Step("try", "on a throw-away virtual board", "running"))
            try:
                trial = await trials.run(partial(parts.apps.try_image, image, board, options), by.person_id)
            except MicroclawError as exc:
                fail(feed.put, "try", exc)
            feed.put(_trial_step(trial))
            return Result(_trial_object(trial, image))

        return parts.stream(by, f"try {body.name}", trying, cancellable=True)

    return router


async def unless_left(request: Request, work: Coroutine[Any, Any, _Answer]) -> _Answer:
    """What the work gives; it is cancelled when the client leaves, who then has no answer."""
    doing = asyncio.create_task(work, name=f"{request.url.path}: work")
    leaving = asyncio.create_task(_left(request), name=f"{request.url.path}: client")
    try:
        await asyncio.wait((doing, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise HTTPException(408, "the client left")
        return doing.result()
    finally:
        doing.cancel()
        leaving.cancel()
        await asyncio.gather(doing, leaving, return_exceptions=True)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass  # the rest of a body that was read already


def _board_of(parts: HostParts, body: ProgramBody) -> tuple[BoardProfile, Sequence[ProgramKind]]:
    if body.device is None:
        return load_board(body.board), PROGRAM_KINDS
    if "board" in body.model_fields_set:
        raise ConfigError("the request has a device and a board", next_step="give one of the two")
    device = parts.devices.get(body.device)
    return device.board, device.kinds


def _trial_step(trial: Trial) -> Step:
    if trial.ok:
        return Step("try", trial.summary(), detail=trial_detail(trial), took_ms=trial.took_ms)
    why = trial.error or trial.summary()
    return Step("try", why, "failed", trial_detail(trial), took_ms=trial.took_ms, next_step=trial.next_step)


def _trial_object(trial: Trial, image: ProgramImage) -> dict[str, Any]:
    """As `try --json` has it, in a bounded size: `edge_count` says how many edges there were."""
    document = trial.to_json()
    most = {"edges": MAX_PROOF_EDGES, "pwm": MAX_PROOF_EDGES, "leds": MAX_LOG_LINES, "log": MAX_LOG_LINES}
    document |= {key: document[key][:count] for key, count in most.items()}
    evidence = Evidence("counted", f"on a throw-away virtual board: {trial.summary()}")
    return {
        **document,
        "edge_count": len(trial.edges),
        "driven": list(trial.driven),
        "size_bytes": image.size_bytes,
        "findings": [one.to_json() for one in image.warnings],
        "evidence": evidence_object(evidence),
    }
