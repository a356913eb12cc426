"""The acts of voice: how it stands and where the time of spoken turns went, a test of its engines, their models."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

from msgspec import Meta, Struct

from microclaw.config.forms import WhisperName
from microclaw.errors import ConfigError, VoiceError
from microclaw.events import Step
from microclaw.findings import Finding, problem, warning
from microclaw.operations.operation import Access, Call, Option, Permission, operation
from microclaw.operations.result import Result
from microclaw.voice.engines.engine import RATE_HZ, Recognizer, Synthesizer
from microclaw.voice.fallback import common_fault, engines_in
from microclaw.voice.resampling import Resampler
from microclaw.voice.trace import VoiceTurn

if TYPE_CHECKING:
    from microclaw.config.settings import Settings
    from microclaw.voice.service import VoiceService
    from microclaw.voice.xiaozhi.server import XiaozhiServer

TEST_SENTENCE: Final = "blink pin two every half second"


@dataclass(slots=True)
class VoiceState:
    """`problems` says why voice, xiaozhi or wyoming is off though it is wanted. `ota` is what a person types into a
    device of xiaozhi's firmware, `wyoming` where that listens."""

    service: VoiceService | None = None
    xiaozhi: XiaozhiServer | None = None
    ota: str | None = None
    wyoming: str | None = None
    problems: dict[str, str] = field(default_factory=dict)

    def xiaozhi_object(self) -> dict[str, Any]:
        server = self.xiaozhi
        text = self.problems.get("xiaozhi")
        state, connected = ("off", 0) if server is None else ("on", server.connected)
        return {"state": state, "text": text, "ota": self.ota, "connected": connected}

    def wyoming_object(self) -> dict[str, Any]:
        state = "off" if self.wyoming is None else "on"
        return {"state": state, "text": self.problems.get("wyoming"), "address": self.wyoming}


class EngineState(Struct, frozen=True):
    """`problem` says what it lacks, with what to do; None: it works."""

    role: str
    name: str
    problem: str | None


class VoiceFacts(Result, frozen=True, kw_only=True):
    """`turns` are the newest."""

    document: ClassVar = "voice-trace"

    state: Literal["on", "off"]
    problem: str | None
    engines: tuple[EngineState, ...] = ()
    turns: tuple[VoiceTurn, ...] = ()

    def lines(self) -> Iterable[str]:
        if self.state == "off":
            yield f"voice is off: {self.problem}"
        elif not self.turns:
            yield "nobody has spoken yet"
        for turn in self.turns:
            yield f"{turn.device}  {turn.trigger}  {turn.outcome}, {turn.late_frames} late frames"
            yield from (f"  {step:<16} {at_ms:>9,.0f} ms" for step, at_ms in turn.steps)

    def findings(self) -> Iterable[Finding]:
        """One for each engine. An engine that fails is a warning as long as another one of its role works."""
        if self.problem is not None:
            unwanted = "not installed" in self.problem or "voice.enabled" in self.problem
            yield Finding("voice", True, f"off: {self.problem}", warns=not unwanted)  # it is meant to be on, and cannot
        working = {one.role for one in self.engines if one.problem is None}
        for one in self.engines:
            if one.problem is None:
                yield Finding("voice", True, f"{one.name} {'hears' if one.role == 'asr' else 'speaks'}")
            else:
                tell = warning if one.role in working else problem
                yield tell("voice", f"{one.name}: {one.problem}", "docs/voice-engines.md")


class EngineTrial(Result, frozen=True, kw_only=True):
    """The words said and heard, and how long each took. `ok`: the same words were heard."""

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
    _: Call,
    newest: Annotated[int, Meta(ge=1, le=100, description="So many turns."), Option("-n/--newest")] = 5,
) -> VoiceFacts:
    """The engines, and where the time of the last spoken turns went; neither text nor audio is kept."""
    if voice.service is None:
        return VoiceFacts(state="off", problem=voice.problems.get("voice"))
    parts = voice.service.parts
    hears = [EngineState("asr", one.name, await one.health()) for one in engines_in(parts.recognizer)]
    speaks = [EngineState("tts", one.name, await one.health()) for one in engines_in(parts.synthesizer)]
    problems = [common_fault([one.problem for one in of_role]) for of_role in (hears, speaks)]
    return VoiceFacts(
        state="on",
        problem="; ".join(filter(None, problems)) or None,
        engines=(*hears, *speaks),
        turns=tuple(one.turn() for one in [*parts.traces][-newest:]),
    )


@operation("voice.test", http="POST /v1/voice/test", access=Access.OWN)
async def try_both(
    voice: VoiceState,
    _: Call,
    text: Annotated[
        str, Meta(min_length=1, max_length=200, description="What is said and to be understood."), Option(argument=True)
    ] = TEST_SENTENCE,
) -> EngineTrial:
    """Speak a sentence and recognise it by the host's engines, without a device; 1 when it was not understood."""
    if voice.service is None:
        raise ConfigError(f"voice is off: {voice.problems.get('voice')}", next_step="docs/voice.md")
    return await try_engines(voice.service.parts.synthesizer, voice.service.parts.recognizer, text)


class FetchedModel(Result, frozen=True, kw_only=True):
    document: ClassVar = "voice-fetch"

    model: str
    folder: str


@operation(
    "voice.fetch",
    permission=Permission.ACT,
    here=lambda settings: settings,
    said="{model} is in {folder}, and is voice.whisper_model; the host reads it when it starts",
)
async def fetch(
    settings: Settings, call: Call, model: Annotated[WhisperName, Meta(description="Whisper's model, from its hub.")]
) -> FetchedModel:
    """Fetch a model that hears better, and use it."""
    from microclaw.config.edit import write_changes
    from microclaw.voice.engines.whisper_models import fetch_model

    home = settings.home
    proxy = settings.proxy
    folder = await fetch_model(model, home, lambda line: call.report(Step("model", line)), proxy=proxy)
    write_changes(settings.home, os.environ, {"voice.whisper_model": model})
    return FetchedModel(model=model, folder=str(folder))


async def try_engines(synthesizer: Synthesizer, recognizer: Recognizer, text: str) -> EngineTrial:
    """A sentence said by one engine and heard by another. Raises VoiceError when one of them fails."""
    began_s = time.monotonic()
    pcm = b""
    first_s = 0.0
    resampler = Resampler(RATE_HZ)
    async with aclosing(synthesizer.speak(text)) as pieces:
        async for piece in pieces:
            first_s = first_s or time.monotonic() - began_s
            pcm += resampler.feed(piece.pcm, piece.rate_hz)
    pcm += resampler.rest()
    with suppress(VoiceError):  # `hear` says it, or asks another engine
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
    return "".join(c if c.isalnum() else " " for c in text.lower()).split()
