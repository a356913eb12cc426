"""A Recognizer over processes with Whisper (whisper_worker.py): what they know, and what their answers mean."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from microclaw.errors import ConfigError, ProtocolError, VoiceError
from microclaw.voice.engines.engine import Recognition, Transcript
from microclaw.voice.engines.engine_pool import ANSWER_S, IDLE_S, EnginePool, PoolLimits
from microclaw.voice.engines.engine_process import Preparation
from microclaw.voice.engines.engine_sandbox import EngineNeeds
from microclaw.voice.engines.spoken_names import NamesAsWritten, SpokenNames
from microclaw.voice.engines.whisper_decision import WhisperEvidence, decide, plain, prompt
from microclaw.voice.engines.whisper_worker import MAX_WORDS, MEMORY_BYTES

MAX_PROCESSES: Final = 3
"""Each has the whole model in memory: 250 MB with tiny.en."""
MOST_THREADS: Final = 4
MODULE: Final = "microclaw.voice.engines.whisper_worker"


class WhisperRecognizer:
    """At most `most` processes; `kept` of them stay ready for the next utterance, others end after `idle_s`.

    `names` gives what may be said now, `find_model` the model's folder, or raises ConfigError: it may be fetched while
    the host runs. Without `threads` it takes the cores, at most four.
    """

    name = "whisper"

    def __init__(
        self,
        names: Callable[[], SpokenNames],
        find_model: Callable[[], Path],
        *,
        threads: int | None = None,
        most: int = MAX_PROCESSES,
        kept: int = 1,
        idle_s: float = IDLE_S,
        answer_s: float = ANSWER_S,
        program: tuple[str, ...] = (sys.executable, "-m", MODULE),
    ) -> None:
        self._find_model = find_model
        self._threads = threads or min(MOST_THREADS, os.cpu_count() or 1)
        self._names = names
        self._pool = pool = EnginePool(self.name, program, self._prepare, PoolLimits(most, kept, idle_s, answer_s))
        self.warm_up, self.settled, self.close = pool.warm_up, pool.settled, pool.close

    @property
    def pids(self) -> list[int]:
        return self._pool.pids

    async def begin(self, on_partial: Callable[[str], None]) -> Recognition:
        names = self._names()
        written = NamesAsWritten(names)
        return await self._pool.begin(
            {"prompt": prompt(names)}, lambda text: on_partial(plain(text, written)), partial(_decided, written)
        )

    async def health(self) -> str | None:
        try:
            self._found()
        except VoiceError as exc:
            return f"{exc.message} (next: {exc.next_step})"
        return None

    def _found(self) -> Path:
        try:
            return self._find_model()
        except ConfigError as exc:
            raise VoiceError(exc.message, next_step=exc.next_step) from exc

    def _prepare(self) -> Preparation:
        model = self._found().absolute()
        linked = [file.resolve() for file in model.iterdir() if file.is_symlink()]  # as a hub's cache has them
        needs = EngineNeeds([model, *linked], memory_bytes=MEMORY_BYTES)
        return Preparation({"model": str(model), "threads": self._threads}, needs)


def _decided(names: NamesAsWritten, body: dict[str, Any]) -> Transcript:
    """Raises ProtocolError."""
    match body:
        case {
            "words": list(words),
            "mean_log": float() as mean_log,
            "no_speech": float() as no_speech,
            "packed": float() as packed,
        } if len(words) <= MAX_WORDS:
            return decide(WhisperEvidence([_word(one) for one in words], mean_log, no_speech, packed), names)
    raise ProtocolError("an answer without words")


def _word(entry: object) -> tuple[str, float]:
    match entry:
        case [str() as word, float() as probability] if 0.0 <= probability <= 1.0:
            return word, probability
    raise ProtocolError("a word without its probability")
