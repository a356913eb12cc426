"""The operations of voice: its state and the times of spoken turns, a test of its engines, their models."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

from msgspec import Meta, Struct

from microclaw.errors import ConfigError, VoiceError
from microclaw.events import Step
from microclaw.findings import Finding, problem, warning
from microclaw.host.config.forms import WhisperName
from microclaw.host.operations.forms import CommandForm
from microclaw.host.operations.operation import Access, OperationCall, Option, Permission, operation
from microclaw.host.operations.result import Result
from microclaw.interfaces.voice.engines.engine import RATE_HZ, Engine, Recognizer, Synthesizer
from microclaw.interfaces.voice.fallback import common_fault, engines_in
from microclaw.interfaces.voice.resampling import Resampler
from microclaw.interfaces.voice.trace import VoiceTurn

if TYPE_CHECKING:
    from microclaw.host.config.settings import Settings
    from microclaw.interfaces.voice.service import VoiceService
    from microclaw.interfaces.voice.xiaozhi.server import XiaozhiServer

TEST_SENTENCE: Final = "blink pin two every half second"


@dataclass(slots=True)
class VoiceState:
    """The voice services of the host.

    `problems` has the reasons why voice, xiaozhi or wyoming is off although it is switched on. `ota` is the address
    that a person types into a device of xiaozhi's firmware, `wyoming` the address on which that listens.
    """

    service: VoiceService | None = None
    xiaozhi: XiaozhiServer | None = None
    ota: str | None = None
    wyoming: str | None = None
    problems: dict[str, str] = field(default_factory=dict)

    def xiaozhi_object(self) -> dict[str, Any]:
        state = "off" if self.xiaozhi is None else "on"
        connected = 0 if self.xiaozhi is None else self.xiaozhi.connected
        return {"state": state, "text": self.problems.get("xiaozhi"), "ota": self.ota, "connected": connected}

    def wyoming_object(self) -> dict[str, Any]:
        state = "off" if self.wyoming is None else "on"
        return {"state": state, "text": self.problems.get("wyoming"), "address": self.wyoming}


class EngineState(Struct, frozen=True):
    """The state of one engine. `problem` is its problem with the remedy, or None if it works."""

    role: str
    name: str
    problem: str | None


class VoiceFacts(Result, frozen=True, kw_only=True):
    """The state of voice and its newest spoken turns."""

    document: ClassVar = "voice-trace"

    state: Literal["on", "off"]
    problem: str | None
    engines: tuple[EngineState, ...] = ()
    turns: tuple[VoiceTurn, ...] = ()

    def lines(self) -> Iterable[str]:
        if self.state == "off":
            yield f"voice is off: {self.problem}"
        elif not self.turns:
            yield "no spoken turns yet"
        for turn in self.turns:
            yield f"{turn.device}  {turn.trigger}  {turn.outcome}, {turn.late_frames} late frames"
            for step, at_ms in turn.steps:
                yield f"  {step:<16} {at_ms:>9,.0f} ms"

    def findings(self) -> Iterable[Finding]:
        """Yield a finding for each engine. A failing engine is a warning if another one of its role works."""
        if self.problem is not None:
            is_unwanted = "not installed" in self.problem or "voice.enabled" in self.problem
            yield Finding("voice", ok=True, text=f"off: {self.problem}", warns=not is_unwanted)
        working_roles = {engine.role for engine in self.engines if engine.problem is None}
        for engine in self.engines:
            if engine.problem is None:
                ability = "hears" if engine.role == "asr" else "speaks"
                yield Finding("voice", ok=True, text=f"{engine.name} {ability}")
            else:
                new_finding = warning if engine.role in working_roles else problem
                yield new_finding("voice", f"{engine.name}: {engine.problem}", "docs/voice-engines.md")


class EngineTrial(Result, frozen=True, kw_only=True):
    """The spoken and the heard words, and how long each took. `ok`: the same words were heard."""

    document: ClassVar = "voice-test"

    said: str
    heard: str
    confidence: float
    speech_s: float
    first_audio_ms: int
    recognition_ms: int
    ok: bool

    @property
    def exit_code(self) -> int:
        return 0 if self.ok else 1

    def lines(self) -> Iterable[str]:
        yield f"said       {self.said}"
        yield f"heard      {self.heard or 'nothing'}   (confidence {self.confidence})"
        yield f"speech     {self.speech_s} s, its first audio after {self.first_audio_ms} ms"
        yield f"heard in   {self.recognition_ms} ms after its end"


@operation("voice.trace", http="GET /v1/voice", access=Access.OWN)
async def trace(
    voice: VoiceState,
    _: OperationCall,
    newest: Annotated[int, Meta(ge=1, le=100, description="The number of turns."), Option("-n/--newest")] = 5,
) -> VoiceFacts:
    """Show the engines and the times of the last spoken turns; neither text nor audio is kept."""
    if voice.service is None:
        return VoiceFacts(state="off", problem=voice.problems.get("voice"))
    parts = voice.service.parts
    recognizers = await _engine_states("asr", parts.recognizer)
    synthesizers = await _engine_states("tts", parts.synthesizer)
    problems: list[str] = []
    for engines in (recognizers, synthesizers):
        fault = common_fault([engine.problem for engine in engines])
        if fault:
            problems.append(fault)
    return VoiceFacts(
        state="on",
        problem="; ".join(problems) or None,
        engines=(*recognizers, *synthesizers),
        turns=tuple(turn_trace.turn() for turn_trace in [*parts.traces][-newest:]),
    )


async def _engine_states(role: str, engine: Engine) -> list[EngineState]:
    """Return the states of the engines that a chain tries."""
    return [EngineState(role, part.name, await part.health()) for part in engines_in(engine)]


@operation("voice.test", http="POST /v1/voice/test", access=Access.OWN)
async def run_engine_test(
    voice: VoiceState,
    _: OperationCall,
    text: Annotated[
        str, Meta(min_length=1, max_length=200, description="The sentence to speak."), Option(argument=True)
    ] = TEST_SENTENCE,
) -> EngineTrial:
    """Speak a sentence and recognise it by the host's engines, without a device; 1 if it was not understood."""
    if voice.service is None:
        raise ConfigError(f"voice is off: {voice.problems.get('voice')}", next_step="docs/voice.md")
    return await try_engines(voice.service.parts.synthesizer, voice.service.parts.recognizer, text)


class FetchedModel(Result, frozen=True, kw_only=True):
    """A model that was fetched, and its folder."""

    document: ClassVar = "voice-fetch"

    model: str
    folder: str


@operation(
    "voice.fetch",
    permission=Permission.ACT,
    here=lambda settings: settings,
    command=CommandForm(said="{model} is in {folder}, and is voice.whisper_model; the host reads it when it starts"),
)
async def fetch(
    settings: Settings,
    call: OperationCall,
    model: Annotated[WhisperName, Meta(description="Whisper's model, from its hub.")],
) -> FetchedModel:
    """Fetch a model that hears better, and use it."""
    from microclaw.host.config.edit import write_changes
    from microclaw.interfaces.voice.engines.whisper_models import fetch_model

    home = settings.home
    proxy = settings.proxy
    folder = await fetch_model(model, home, lambda line: call.report(Step("model", line)), proxy=proxy)
    write_changes(settings.home, os.environ, {"voice.whisper_model": model})
    return FetchedModel(model=model, folder=str(folder))


async def try_engines(synthesizer: Synthesizer, recognizer: Recognizer, text: str) -> EngineTrial:
    """Speak a sentence by one engine and recognise it by another. Raises VoiceError if one of them fails."""
    began_s = time.monotonic()
    pcm = b""
    first_s = 0.0
    resampler = Resampler(RATE_HZ)
    async with aclosing(synthesizer.speak(text)) as pieces:
        async for piece in pieces:
            first_s = first_s or time.monotonic() - began_s
            pcm += resampler.feed(piece.pcm, piece.rate_hz)
    pcm += resampler.rest()
    # `hear` raises the same error, or uses another engine.
    with suppress(VoiceError):
        await recognizer.warm_up()
    spoken_s = time.monotonic()
    heard = await recognizer.hear(pcm)
    return EngineTrial(
        said=text,
        heard=heard.text,
        confidence=round(heard.confidence, 2),
        speech_s=round(len(pcm) / (2 * RATE_HZ), 2),
        first_audio_ms=round(first_s * 1000),
        recognition_ms=round((time.monotonic() - spoken_s) * 1000),
        ok=_words(heard.text) == _words(text),
    )


def _words(text: str) -> list[str]:
    """Return the words of a text in small letters, without signs."""
    return re.sub(r"[\W_]", " ", text.lower()).split()
