"""The services that every voice session needs, and the fixed sentences of the host. It does nothing itself."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from msgspec import Struct

from microclaw.agent.turn.inbox import Inbox
from microclaw.host.auth.approvals import Approvals
from microclaw.interfaces.voice.engines.engine import Recognizer, Synthesizer, VoiceDetector
from microclaw.interfaces.voice.trace import KEPT_TURNS, VoiceTraces

NOT_HEARD: Final = "I did not catch that."
NO_RECOGNIZER: Final = "I cannot hear you right now. Speech recognition does not answer."
NO_ANSWER: Final = "Something went wrong in the host. Its log says what."
TOO_MANY: Final = "I am still busy with what you said before."
NOT_DONE: Final = "Then I leave it."
CONTINUES_IN_CHAT: Final = "Then I do it. The answer will be in the chat."
SAY_AGAIN: Final = "Then say it again, please."


class EndpointLimits(Struct, frozen=True):
    """The limits of an utterance, in ms: the silence that ends it, the wait for its begin, and its length."""

    silence_ms: int = 600
    nothing_ms: int = 6_000
    longest_ms: int = 15_000


@dataclass(frozen=True, slots=True)
class AgentParts:
    """The agent without speech. The person with `person_id` speaks, and that person's permissions apply."""

    inbox: Inbox
    approvals: Approvals
    person_id: str = field(default="owner", kw_only=True)


@dataclass(frozen=True, slots=True)
class VoiceParts(AgentParts):
    """The services that every voice session needs."""

    recognizer: Recognizer
    synthesizer: Synthesizer
    new_detector: Callable[[], VoiceDetector]
    traces: VoiceTraces = field(default_factory=partial(VoiceTraces, maxlen=KEPT_TURNS))
    endpoints: EndpointLimits = field(default_factory=EndpointLimits)
    now_s: Callable[[], float] = time.monotonic


def crash_text(exc: BaseException) -> str:
    """Return the type of an error and its place, without the error's message, which may quote a person."""
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    place = "".join(traceback.format_tb(exc.__traceback__)).rstrip()
    return f"{type(exc).__name__}\n{place}"
