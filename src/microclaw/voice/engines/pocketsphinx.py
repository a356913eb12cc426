"""A Recognizer over processes with pocketsphinx (sphinx_worker.py): it starts, feeds, replaces and ends them."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from microclaw.errors import MicroclawError, VoiceError
from microclaw.voice.engines.command_grammar import (
    CommandGrammar,
    SpokenNames,
    command_grammar,
    name_words,
    template_words,
)
from microclaw.voice.engines.engine import RATE_HZ, Recognition, Transcript
from microclaw.voice.engines.pronunciations import Pronunciations, dictionary_file
from microclaw.voice.engines.sphinx_decision import decide
from microclaw.voice.engines.sphinx_process import SphinxProcess

MAX_PROCESSES: Final = 4
START_S: Final = 30.0
ANSWER_S: Final = 12.0
ABANDON_S: Final = 2.0
IDLE_S: Final = 300.0
MAX_UTTERANCE_BYTES: Final = 20 * RATE_HZ * 2
MAX_PAUSED_BYTES: Final = 8 * RATE_HZ * 2
"""If a pause is not the end everything before it is heard again, in a third of its time, while more comes."""
MAX_TOLD: Final = 10
MODULE: Final = "microclaw.voice.engines.sphinx_worker"
_log = logging.getLogger(__name__)


class SphinxRecognizer:
    """At most `most` processes; `kept` of them stay ready for the next utterance, others end after `idle_s`.

    `names` gives what may be said now; when it changes, processes with other names are replaced as they become free.
    """

    name = "pocketsphinx"

    def __init__(
        self,
        names: Callable[[], SpokenNames],
        *,
        most: int = MAX_PROCESSES,
        kept: int = 1,
        idle_s: float = IDLE_S,
        answer_s: float = ANSWER_S,
        cross_check: bool = True,
        program: tuple[str, ...] = (sys.executable, "-m", MODULE),
    ) -> None:
        self._names, self._most, self._kept, self._idle_s, self._answer_s = names, most, kept, idle_s, answer_s
        self._cross_check = cross_check
        self._program = program
        self._sounds = Pronunciations()
        self._grammar: tuple[SpokenNames, CommandGrammar] | None = None
        self._building = asyncio.Lock()
        self._processes: set[SphinxProcess] = set()
        self._idle: list[SphinxProcess] = []
        self._starting: set[asyncio.Task[SphinxProcess]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._warming: asyncio.Task[None] | None = None
        self._is_closed = False
        self.build_ms = 0.0
        """How long the newest grammar took to make."""

    @property
    def pids(self) -> list[int]:
        return sorted(process.pid for process in self._processes)

    async def begin(self, on_partial: Callable[[str], None]) -> Recognition:
        names = self._names()
        if not self._idle and self._warming is not None:
            await asyncio.wait((self._warming,))
        process = self._take(names) or await self._started(names)
        try:
            process.begin(on_partial)
        except VoiceError:
            self.released(process, is_ready=False)
            raise
        return _SphinxRecognition(self, process)

    async def warm_up(self) -> None:
        """Have a process ready; `begin` waits for one that is being made so."""
        if self._idle or self._warming is not None:
            return
        warming = self._warming = asyncio.create_task(self._warm(), name="voice: warm up pocketsphinx")
        try:
            await warming
        finally:
            self._warming = None

    async def _warm(self) -> None:
        self._free(await self._started(self._names()))

    async def settled(self) -> None:
        """Return when nothing is being started, forgotten or ended any more."""
        while waiting := [*self._starting, *self._tasks]:
            await asyncio.wait(waiting)
            await asyncio.sleep(0)

    async def health(self) -> str | None:
        try:
            dictionary_file()
        except VoiceError as exc:
            return f"{exc.message} (next: {exc.next_step})"
        if self.unsayable:
            words = ", ".join(self.unsayable[:MAX_TOLD])
            return f"nobody says how these words of names sound, flite would: {words} (next: make setup-system)"
        return None

    @property
    def unsayable(self) -> list[str]:
        """Words of names that cannot be recognised, because nothing says how they sound (flite would)."""
        return self._sounds.missing

    async def close(self) -> None:
        self._is_closed = True
        for starting in self._starting:
            starting.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._starting, *self._tasks, return_exceptions=True)
        await asyncio.gather(*(process.end() for process in tuple(self._processes)))
        self._idle.clear()

    # The processes

    def _take(self, names: SpokenNames) -> SphinxProcess | None:
        """One that is ready, if need be with the names of a moment ago while another one is started."""
        for broken in [one for one in self._idle if one.is_broken]:
            self._idle.remove(broken)
            self._processes.discard(broken)
            self._later(broken.end())
        if not self._idle:
            return None
        fresh = next((one for one in reversed(self._idle) if one.names == names), None)
        process = fresh or self._idle[-1]
        self._idle.remove(process)
        if fresh is None and len(self._processes) + len(self._starting) < self._most:
            self._later(self._replenish(names))
        return process

    async def _replenish(self, names: SpokenNames) -> None:
        try:
            self._free(await self._started(names))
        except VoiceError as exc:
            _log.warning("pocketsphinx: %s", exc.message)

    async def _started(self, names: SpokenNames) -> SphinxProcess:
        """A new process that is ready. It goes on starting if the wait for it is cancelled, and is kept then."""
        if self._is_closed:
            raise VoiceError("speech recognition has been closed")
        if len(self._processes) + len(self._starting) >= self._most:
            raise VoiceError(f"all {self._most} processes of speech recognition are in use", next_step="say it again")
        starting = asyncio.create_task(self._start(names), name="voice: start pocketsphinx")
        self._starting.add(starting)
        starting.add_done_callback(self._starting.discard)
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(self._keep_started)
            raise

    def _keep_started(self, starting: asyncio.Task[SphinxProcess]) -> None:
        if not starting.cancelled() and starting.exception() is None:
            self._free(starting.result())

    async def _start(self, names: SpokenNames) -> SphinxProcess:
        async with self._building:
            if self._grammar is None or self._grammar[0] != names:
                self._grammar = names, await asyncio.to_thread(self._build, names)
        grammar = self._grammar[1]
        words = grammar.graph.words
        process = SphinxProcess(names, grammar, self._answer_s)
        language = {
            "arpa": grammar.language_model,
            "pronunciations": self._sounds.to_add(words),
            "check": self._cross_check,
        }
        try:
            async with asyncio.timeout(START_S):
                await process.start(self._program, language)
        except (TimeoutError, OSError, MicroclawError) as exc:
            await process.end()
            raise VoiceError(f"speech recognition does not start: {exc or 'it is too slow'}") from exc
        except BaseException:
            await process.end()
            raise
        self._processes.add(process)
        return process

    def _build(self, names: SpokenNames) -> CommandGrammar:
        self._sounds.look_up(template_words(), ask_flite=False)
        self._sounds.look_up(name_words(names), ask_flite=True)
        began_s = time.perf_counter()
        grammar = command_grammar(names, self._sounds.sayable)
        self.build_ms = (time.perf_counter() - began_s) * 1000
        return grammar

    def _free(self, process: SphinxProcess) -> None:
        """A process that is ready: kept for a while, or ended where there is enough or its names are old."""
        if self._is_closed or process.is_broken:
            self._later(self._drop(process))
            return
        process.since_s = time.monotonic()
        self._idle.append(process)
        newest = self._grammar[0] if self._grammar is not None else process.names
        if any(one.names == newest for one in self._idle):
            for old in [one for one in self._idle if one.names != newest]:
                self._idle.remove(old)
                self._later(self._drop(old))
        if len(self._idle) > self._kept:
            asyncio.get_running_loop().call_later(self._idle_s, self._rested, process)

    def _rested(self, process: SphinxProcess) -> None:
        is_spare = process in self._idle and len(self._idle) > self._kept
        if is_spare and not self._is_closed and time.monotonic() - process.since_s >= self._idle_s:
            self._later(self._drop(process))

    async def _drop(self, process: SphinxProcess) -> None:
        if process in self._idle:
            self._idle.remove(process)
        await process.end()
        self._processes.discard(process)

    def _later(self, work: Any) -> None:
        task = asyncio.create_task(work, name="voice: pocketsphinx processes")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def released(self, process: SphinxProcess, *, is_ready: bool) -> None:
        """The utterance is over; one that was given up has to be forgotten first."""
        if is_ready and not process.is_broken:
            self._free(process)
        else:
            self._later(self._forget(process))

    async def _forget(self, process: SphinxProcess) -> None:
        try:
            async with asyncio.timeout(ABANDON_S):
                await process.forget()
        except (TimeoutError, VoiceError):
            await self._drop(process)
            if not self._is_closed and len(self._idle) < self._kept:
                await self._replenish(self._names())
        else:
            self._free(process)


class _SphinxRecognition:
    def __init__(self, recognizer: SphinxRecognizer, process: SphinxProcess) -> None:
        self._recognizer = recognizer
        self._process: SphinxProcess | None = process
        self._bytes = 0

    def feed(self, pcm: bytes) -> None:
        if self._process is None:
            raise VoiceError("this utterance is over")
        self._bytes += len(pcm)
        if self._bytes > MAX_UTTERANCE_BYTES:
            raise VoiceError("an utterance of more than 20 s", next_step="say less at a time")
        self._process.hear(pcm)

    def pause(self) -> None:
        if self._process is not None and self._bytes <= MAX_PAUSED_BYTES:
            self._process.pause()

    async def finish(self) -> Transcript:
        if self._process is None:
            raise VoiceError("this utterance is over")
        process = self._process
        evidence = await process.finish()
        self._process = None
        self._recognizer.released(process, is_ready=True)
        return decide(evidence, process.grammar)

    def abandon(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            self._recognizer.released(process, is_ready=False)
