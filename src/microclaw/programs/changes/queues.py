"""Work that takes the machine for a while, and the same act on many boards: few at once.

One person's work never makes the others wait long, or the owner; what fails on one board leaves the others alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import PurePath
from typing import Final, Generic, TypeVar
from weakref import WeakValueDictionary

from msgspec import Struct
from msgspec.structs import replace

from microclaw.devices.registry.device import Device
from microclaw.errors import MicroclawError, Overloaded
from microclaw.events import ProgramKind, Report, Stage, Step
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.host.auth.people import OWNER, person_behind
from microclaw.programs.building import Compile, ProgramImage, ProgramLanguage
from microclaw.programs.changes.deployment import INSTALLED_ALL_THE_SAME
from microclaw.programs.wasm.source_language import language_of_file

PARALLEL: Final = 2
MAX_COMPILED: Final = 16  # that are compiled and that wait
MAX_COMPILED_OF_PERSON: Final = 4
MAX_TRIED: Final = 10
MAX_TRIED_OF_PERSON: Final = 3
MAX_BOARDS_AT_ONCE: Final = 8
_BEFORE: Final = frozenset({"compile", "check", "try"})
_log = logging.getLogger(__name__)
T = TypeVar("T")


class Places:
    """`each` for one name, and `everybody` for all of them."""

    def __init__(self, each: int, everybody: int) -> None:
        self._each = each
        self._everybody = everybody
        self._held: Counter[str] = Counter()

    @contextmanager
    def one(self, name: str, what: str = "requests are under way") -> Iterator[None]:
        """Hold a place; Overloaded when there is none."""
        theirs = self._held[name]
        others = self._held.total()
        if theirs >= self._each or others >= self._everybody:
            text = f"{others} {what} already, {theirs} of them from you"
            raise Overloaded(text, next_step="wait until one of them is done, then send it again")
        self._held[name] += 1
        try:
            yield
        finally:
            self._held[name] -= 1
            self._held += Counter()  # forgets who holds none


class Turns:
    """PARALLEL at once, and a few that wait. One place is the owner's alone; the others run one each, in turns.

    Who has no name (person_id None) shares the places of one person with all of those.
    """

    def __init__(self, each: int, everybody: int, what: str) -> None:
        self._what = what
        self._owners = Places(everybody, everybody)
        self._persons = Places(each, everybody)
        self._running = asyncio.Semaphore(PARALLEL)
        self._others = asyncio.Semaphore(PARALLEL - 1)
        self._of_person: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def place(self, person_id: str | None) -> AbstractContextManager[None]:
        """Hold a place; Overloaded when the person has none."""
        line = self._owners if person_id == OWNER.person_id else self._persons
        return line.one(person_behind(person_id or ""), self._what)

    @asynccontextmanager
    async def turn(self, person_id: str | None) -> AsyncIterator[None]:
        """Inside a place: wait for a turn."""
        async with AsyncExitStack() as turn:
            if person_id != OWNER.person_id:
                if person_id is not None:
                    mine = self._of_person.setdefault(person_behind(person_id), asyncio.Lock())
                    await turn.enter_async_context(mine)
                await turn.enter_async_context(self._others)
            await turn.enter_async_context(self._running)
            yield


def trial_turns() -> Turns:
    return Turns(MAX_TRIED_OF_PERSON, MAX_TRIED, "trials run or wait")


class CompileQueue:
    def __init__(self, compile_source: Compile) -> None:
        self._compile = compile_source
        self._turns = Turns(MAX_COMPILED_OF_PERSON, MAX_COMPILED, "programs wait to be compiled")

    async def compile(
        self,
        source: str,
        board: BoardProfile,
        *,
        name: str,
        optimization: str,
        language: ProgramLanguage | None = None,
        kinds: Sequence[ProgramKind] = ("wasm",),
        person_id: str | None = None,
    ) -> ProgramImage:
        """`person_id` None: nobody knows who asks. A `name` such as blink.ino says the language."""
        with self._turns.place(person_id):
            async with self._turns.turn(person_id):
                of_file = language_of_file(name)
                stem = PurePath(name).stem if of_file is not None else name
                return await self._compile(source, board, stem, optimization, language or of_file, kinds)


class BoardOutcome(Struct, Generic[T], frozen=True):
    """The outcome on one board: `value`, or the `error` that ended it there."""

    device_name: str
    value: T | None = None
    error: MicroclawError | None = None


async def on_each(
    devices: Sequence[Device],
    act: Callable[[Device], Awaitable[T]],
    ended: Callable[[BoardOutcome[T]], None] = lambda _outcome: None,
    *,
    parallel: int = MAX_BOARDS_AT_ONCE,
) -> list[BoardOutcome[T]]:
    """One outcome a device, in the order of the devices; `ended` gets each as it comes.

    A fault of this host is an outcome too, with its traceback in the log. Cancelled, it cancels what runs.
    """
    free = asyncio.Semaphore(parallel)

    async def on_one(device: Device) -> BoardOutcome[T]:
        async with free:
            try:
                outcome: BoardOutcome[T] = BoardOutcome(device.name, await act(device))
            except MicroclawError as exc:
                outcome = BoardOutcome(device.name, error=exc)
            except Exception as exc:
                _log.exception("on %s", device.name)
                fault = MicroclawError(
                    f"unexpected {type(exc).__name__}", next_step="the traceback is in the host's log"
                )
                outcome = BoardOutcome(device.name, error=fault)
        ended(outcome)
        return outcome

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(on_one(device), name=f"on {device.name}") for device in devices]
    return [task.result() for task in tasks]


class SharedStages:
    """The steps before a board is changed, reported once for all boards, and by its name for one where it differs."""

    def __init__(self, put: Report) -> None:
        self._put = put
        self._told: dict[Stage, set[tuple[str, Sequence[str]]]] = {}

    def show(self, device_name: str, step: Step) -> None:
        """A stage that failed and ends the work is told with the board's outcome, not here."""
        is_forced = step.stage == "try" and step.state == "failed" and step.next_step == INSTALLED_ALL_THE_SAME
        if step.stage not in _BEFORE or (step.state != "done" and not is_forced):
            return
        told = self._told.setdefault(step.stage, set())
        text = step.text
        if step.stage == "try":  # without how long this machine took, which stands before what was seen
            text = text.partition(": ")[2] or text
        words = text, step.detail
        if words not in told:
            self._put(replace(step, text=f"{device_name}: {step.text}") if told else step)
            told.add(words)
