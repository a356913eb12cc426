"""The parts that every session by voice works with, and what the host says by itself. It does nothing."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from msgspec import Struct

from microclaw.agent.inbox import Inbox
from microclaw.auth.approvals import Approvals
from microclaw.voice.engines.engine import Recognizer, Synthesizer, VoiceDetector
from microclaw.voice.trace import KEPT_TURNS, VoiceTraces

NOT_HEARD: Final = "I did not catch that."
NO_EARS: Final = "I cannot hear you right now. Speech recognition does not answer."
NO_ANSWER: Final = "Something went wrong in the host. Its log says what."
TOO_MANY: Final = "I am still busy with what you said before."
NOT_DONE: Final = "Then I leave it."
GOES_ON: Final = "Then I do it. The answer will be in the chat."
SAY_AGAIN: Final = "Then say it again, please."


class EndpointLimits(Struct, frozen=True):
    """All in ms: the silence that ends an utterance, how long to wait for one, how long one may be."""

    silence_ms: int = 600
    nothing_ms: int = 6_000
    longest_ms: int = 15_000


@dataclass(frozen=True, slots=True)
class AgentParts:
    """The agent alone, without speech. `person_id` is who may do what is said."""

    inbox: Inbox
    approvals: Approvals
    person_id: str = field(default="owner", kw_only=True)


@dataclass(frozen=True, slots=True)
class VoiceParts(AgentParts):
    """The parts that every session by voice works with."""

    recognizer: Recognizer
    synthesizer: Synthesizer
    new_detector: Callable[[], VoiceDetector]
    traces: VoiceTraces = field(default_factory=partial(VoiceTraces, maxlen=KEPT_TURNS))
    endpoints: EndpointLimits = field(default_factory=EndpointLimits)
    now_s: Callable[[], float] = time.monotonic


def crash_text(exc: BaseException) -> str:
    """The fault and its place, without the error's own words: they may have what was said."""
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    where = "".join(traceback.format_tb(exc.__traceback__)).rstrip()
    return f"{type(exc).__name__}\n{where}"
