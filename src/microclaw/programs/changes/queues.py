"""Work that takes the machine for a while: little at once.

One person's work never makes the others wait long, or the owner.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import PurePath
from typing import Final
from weakref import WeakValueDictionary

from microclaw.errors import Overloaded
from microclaw.events import ProgramKind
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.host.auth.people import OWNER
from microclaw.host.store.people import person_behind
from microclaw.programs.building import Compile, ProgramImage, ProgramLanguage
from microclaw.programs.wasm.source_language import language_of_file

PARALLEL: Final = 2
MAX_COMPILED: Final = 16  # that are compiled and that wait
MAX_COMPILED_OF_PERSON: Final = 4
MAX_TRIED: Final = 10
MAX_TRIED_OF_PERSON: Final = 3


class Places:
    """`each` for one name, and `everybody` for all of them."""

    def __init__(self, each: int, everybody: int) -> None:
        self._each = each
        self._everybody = everybody
        self._held: Counter[str] = Counter()

    @contextmanager
    def one(self, name: str, what: str = "requests are under way") -> Iterator[None]:
        """Hold a place. Raises Overloaded if there is none."""
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
            # The sum leaves out the names that hold none.
            self._held += Counter()


class Turns:
    """PARALLEL at once, and a few that wait. One place is the owner's alone; the others run one each, in turns.

    All callers without a name (person_id None) share the places of one person.
    """

    def __init__(self, each: int, everybody: int, what: str) -> None:
        self._what = what
        self._owners = Places(everybody, everybody)
        self._persons = Places(each, everybody)
        self._running = asyncio.Semaphore(PARALLEL)
        self._others = asyncio.Semaphore(PARALLEL - 1)
        self._of_person: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def place(self, person_id: str | None) -> AbstractContextManager[None]:
        """Hold a place. Raises Overloaded if the person has none left."""
        places = self._owners if person_id == OWNER.person_id else self._persons
        return places.one(person_behind(person_id or ""), self._what)

    @asynccontextmanager
    async def turn(self, person_id: str | None) -> AsyncIterator[None]:
        """Inside a place: wait for a turn."""
        async with AsyncExitStack() as turn:
            if person_id != OWNER.person_id:
                if person_id is not None:
                    lock = self._of_person.setdefault(person_behind(person_id), asyncio.Lock())
                    await turn.enter_async_context(lock)
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
        hosts: tuple[str, ...] = (),
        person_id: str | None = None,
    ) -> ProgramImage:
        """Compile in a turn of the person; of an unknown one if `person_id` is None.

        A `name` such as blink.ino gives the language.
        """
        with self._turns.place(person_id):
            async with self._turns.turn(person_id):
                file_language = language_of_file(name)
                if file_language is not None:
                    name = PurePath(name).stem
                language = language or file_language
                return await self._compile(source, board, name, optimization, language, kinds, hosts=hosts)
