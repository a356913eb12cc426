"""A Recognizer over processes with pocketsphinx (sphinx_worker.py): it starts, feeds, replaces and ends them."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from microclaw.errors import MicroclawError, ProtocolError, VoiceError
from microclaw.voice.engines import sphinx_protocol as protocol
from microclaw.voice.engines.command_grammar import (
    CommandGrammar,
    SpokenNames,
    command_grammar,
    name_words,
    template_words,
)
from microclaw.voice.engines.engine import RATE_HZ, Recognition, Transcript
from microclaw.voice.engines.pronunciations import Pronunciations, dictionary_file
from microclaw.voice.engines.sphinx_decision import Evidence, decide

MAX_PROCESSES: Final = 4
START_S: Final = 30.0
ANSWER_S: Final = 3.5
ABANDON_S: Final = 2.0
IDLE_S: Final = 300.0
MAX_BEHIND_BYTES: Final = 5 * RATE_HZ * 2
"""Audio that a process has not read yet."""
MAX_UTTERANCE_BYTES: Final = 20 * RATE_HZ * 2
MODULE: Final = "microclaw.voice.engines.sphinx_worker"
_KINDS: Final = (protocol.READY, protocol.PARTIAL, protocol.FINAL)
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
        self._processes: set[_Process] = set()
        self._idle: list[_Process] = []
        self._starting: set[asyncio.Task[_Process]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self.build_ms = 0.0
        """How long the newest grammar took to make."""

    @property
    def pids(self) -> list[int]:
        return sorted(process.pid for process in self._processes)

    async def begin(self, on_partial: Callable[[str], None]) -> Recognition:
        names = self._names()
        process = self._take(names) or await self._started(names)
        try:
            process.begin(on_partial)
        except VoiceError:
            self.released(process, is_ready=False)
            raise
        return _SphinxRecognition(self, process)

    async def warm_up(self) -> None:
        """Have a process ready before the first utterance."""
        if not self._idle:
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
            return f"{exc.message}; next: {exc.next_step}"
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

    def _take(self, names: SpokenNames) -> _Process | None:
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

    async def _started(self, names: SpokenNames) -> _Process:
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

    def _keep_started(self, starting: asyncio.Task[_Process]) -> None:
        if not starting.cancelled() and starting.exception() is None:
            self._free(starting.result())

    async def _start(self, names: SpokenNames) -> _Process:
        async with self._building:
            if self._grammar is None or self._grammar[0] != names:
                self._grammar = names, await asyncio.to_thread(self._build, names)
        grammar = self._grammar[1]
        words = grammar.graph.words
        process = _Process(names, grammar, self._answer_s)
        language = {
            "arpa": grammar.language_model,
            "pronunciations": self._sounds.extra(words),
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

    def _free(self, process: _Process) -> None:
        """A process that is ready: kept for a while, or ended where there is enough or its names are old."""
        is_old = self._grammar is not None and process.names != self._grammar[0]
        if self._is_closed or process.is_broken or is_old:
            self._later(self._drop(process))
            return
        process.since_s = time.monotonic()
        self._idle.append(process)
        if len(self._idle) > self._kept:
            asyncio.get_running_loop().call_later(self._idle_s, self._rested, process)

    def _rested(self, process: _Process) -> None:
        if process in self._idle and len(self._idle) > self._kept and not self._is_closed:
            if time.monotonic() - process.since_s >= self._idle_s:
                self._later(self._drop(process))

    async def _drop(self, process: _Process) -> None:
        if process in self._idle:
            self._idle.remove(process)
        await process.end()
        self._processes.discard(process)

    def _later(self, work: Any) -> None:
        task = asyncio.create_task(work, name="voice: pocketsphinx processes")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def released(self, process: _Process, *, is_ready: bool) -> None:
        """The utterance is over; one that was given up has to be forgotten first."""
        if is_ready and not process.is_broken:
            self._free(process)
        else:
            self._later(self._forget(process))

    async def _forget(self, process: _Process) -> None:
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
    def __init__(self, recognizer: SphinxRecognizer, process: _Process) -> None:
        self._recognizer = recognizer
        self._process: _Process | None = process
        self._bytes = 0

    def feed(self, pcm: bytes) -> None:
        if self._process is None:
            raise VoiceError("this utterance is over")
        self._bytes += len(pcm)
        if self._bytes > MAX_UTTERANCE_BYTES:
            raise VoiceError("an utterance of more than 20 s", next_step="say less at a time")
        self._process.hear(pcm)

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


class _Process:
    """One process, with one utterance at a time."""

    def __init__(self, names: SpokenNames, grammar: CommandGrammar, answer_s: float) -> None:
        self.names, self.grammar, self.since_s = names, grammar, 0.0
        self.fault: VoiceError | None = None
        self._answer_s = answer_s
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._on_partial: Callable[[str], None] = lambda _text: None
        self._answer: asyncio.Future[dict[str, Any]] | None = None
        self._awaited = protocol.READY

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_broken(self) -> bool:
        return self.fault is not None

    async def start(self, program: tuple[str, ...], language: dict[str, object]) -> None:
        path = os.pathsep.join(entry for entry in sys.path if entry)
        self._process = await asyncio.create_subprocess_exec(
            *program,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={"PATH": "", "PYTHONPATH": path, "LC_ALL": "C.UTF-8"},
            start_new_session=True,
        )
        self._reading = asyncio.create_task(self._read(), name="voice: read pocketsphinx")
        answer = self._expect(protocol.READY)
        self._write(protocol.json_frame(protocol.LANGUAGE, language))
        await answer

    def begin(self, on_partial: Callable[[str], None]) -> None:
        self._on_partial = on_partial
        self._write(protocol.frame(protocol.BEGIN))

    def hear(self, pcm: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        behind = self._process.stdin.transport.get_write_buffer_size()
        if behind > MAX_BEHIND_BYTES:
            raise self._break(f"speech recognition is {behind / RATE_HZ / 2:.1f} s behind")
        self._write(protocol.frame(protocol.AUDIO, pcm))

    async def finish(self) -> Evidence:
        answer = self._expect(protocol.FINAL)
        self._write(protocol.frame(protocol.END))
        try:
            async with asyncio.timeout(self._answer_s):
                body = await answer
        except TimeoutError:
            raise self._break(f"speech recognition did not answer within {self._answer_s:g} s") from None
        finally:
            self._on_partial = lambda _text: None
        try:
            return _evidence(body)
        except ProtocolError as exc:
            raise self._break(exc.message) from exc

    async def forget(self) -> None:
        """Give up the utterance; returns when the process is ready for another one."""
        self._on_partial = lambda _text: None
        answer = self._expect(protocol.READY)
        self._write(protocol.frame(protocol.ABANDON))
        await answer

    async def end(self) -> None:
        self._break("it was ended")
        if self._process is not None:
            await self._process.wait()
            assert self._process.stdin is not None
            self._process.stdin.close()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    def _expect(self, kind: bytes) -> asyncio.Future[dict[str, Any]]:
        if self.fault is not None:
            raise self.fault
        self._awaited, self._answer = kind, asyncio.get_running_loop().create_future()
        return self._answer

    def _write(self, data: bytes) -> None:
        if self.fault is not None:
            raise self.fault
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(data)

    def _break(self, message: str) -> VoiceError:
        """Kill it; every call fails from now on."""
        if self.fault is None:
            self.fault = VoiceError(message)
        if self._process is not None and self._process.returncode is None:
            try:
                self._process.kill()
            except ProcessLookupError:
                _log.debug("pocketsphinx: the process had ended")
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(self.fault)
            self._answer.exception()  # seen: nobody may wait for it
        return self.fault

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        source = self._process.stdout
        try:
            while True:
                head = await source.readexactly(protocol.HEADER.size)
                kind, size = protocol.header(head, _KINDS, protocol.MAX_ANSWER_BYTES)
                self._came(kind, protocol.json_body(await source.readexactly(size)))
        except asyncio.IncompleteReadError:
            self._break("the process of speech recognition ended")
        except ProtocolError as exc:
            self._break(f"the process of speech recognition talks nonsense: {exc.message}")

    def _came(self, kind: bytes, body: dict[str, Any]) -> None:
        if kind == protocol.PARTIAL:
            text = body.get("text")
            if not isinstance(text, str):
                raise ProtocolError("a partial text without text")
            self._on_partial(self.grammar.transcript(text))
        elif kind == self._awaited and self._answer is not None and not self._answer.done():
            self._answer.set_result(body)
        else:
            raise ProtocolError(f"an answer of kind {kind!r} that nobody waits for")


def _evidence(body: dict[str, Any]) -> Evidence:
    """Raises ProtocolError."""
    match body:
        case {"readings": list(readings), "general": str() | None as general, "sounds": dict(sounds)}:
            texts = [*readings, *sounds, *sounds.values()]
            if len(readings) <= protocol.MAX_READINGS and all(isinstance(text, str) for text in texts):
                return Evidence(readings, general, {word: phones.split() for word, phones in sounds.items()})
    raise ProtocolError("an answer without readings")
