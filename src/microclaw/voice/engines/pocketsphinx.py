"""A Recognizer over processes with pocketsphinx (sphinx_worker.py): what they know, and what their answers mean."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from microclaw.errors import ProtocolError, VoiceError
from microclaw.voice.engines.command_grammar import (
    CommandGrammar,
    SpokenNames,
    command_grammar,
    name_words,
    template_words,
)
from microclaw.voice.engines.engine import Transcript
from microclaw.voice.engines.engine_pool import ANSWER_S, IDLE_S, WAIT_S, EnginePool, PoolLimits
from microclaw.voice.engines.engine_process import Preparation
from microclaw.voice.engines.pronunciations import Pronunciations, dictionary_file
from microclaw.voice.engines.sphinx_decision import Evidence, decide
from microclaw.voice.engines.sphinx_worker import MAX_READINGS

MAX_PROCESSES: Final = 4
MAX_TOLD: Final = 10
MODULE: Final = "microclaw.voice.engines.sphinx_worker"


class SphinxRecognizer:
    """At most `most` processes; `kept` of them stay ready for the next utterance, others end after `idle_s`.

    `names` gives what may be said now.
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
        wait_s: float = WAIT_S,
        cross_check: bool = True,
        program: tuple[str, ...] = (sys.executable, "-m", MODULE),
    ) -> None:
        self._cross_check = cross_check
        self._sounds = Pronunciations()
        self._pool = pool = EnginePool(
            self.name, program, names, self._prepare, PoolLimits(most, kept, idle_s, answer_s, wait_s)
        )
        self.begin, self.warm_up, self.settled, self.close = pool.begin, pool.warm_up, pool.settled, pool.close
        self.build_ms = 0.0
        """How long the newest grammar took to make."""

    @property
    def pids(self) -> list[int]:
        return self._pool.pids

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

    def _prepare(self, names: SpokenNames) -> Preparation:
        self._sounds.look_up(template_words(), ask_flite=False)
        self._sounds.look_up(name_words(names), ask_flite=True)
        began_s = time.perf_counter()
        grammar = command_grammar(names, self._sounds.sayable)
        self.build_ms = (time.perf_counter() - began_s) * 1000
        setup = {
            "arpa": grammar.language_model,
            "pronunciations": self._sounds.to_add(grammar.graph.words),
            "check": self._cross_check,
        }
        return Preparation(names, setup, grammar.transcript, partial(_decided, grammar))


def _decided(grammar: CommandGrammar, body: dict[str, Any]) -> Transcript:
    """Raises ProtocolError."""
    match body:
        case {"readings": list(readings), "general": str() | None as general, "sounds": dict(sounds)}:
            texts = [*readings, *sounds, *sounds.values()]
            if len(readings) <= MAX_READINGS and all(isinstance(text, str) for text in texts):
                phones = {word: sound.split() for word, sound in sounds.items()}
                return decide(Evidence(readings, general, phones), grammar)
    raise ProtocolError("an answer without readings")
