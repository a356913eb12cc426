"""/v1/voice: how voice stands, where the time of the last spoken turns went, and a test of its engines."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from microclaw.api.body import RequestBody
from microclaw.api.caller import RequestCaller
from microclaw.api.parts import HostParts
from microclaw.errors import ConfigError

if TYPE_CHECKING:
    from microclaw.voice.service import VoiceService

_FRAME_BYTES = 640
_SILENCE = bytes(_FRAME_BYTES)


class TestBody(RequestBody):
    text: Annotated[str, Field(min_length=1, max_length=200)]


def voice_router(parts: HostParts) -> APIRouter:
    router = APIRouter(prefix="/v1/voice", tags=["voice"])

    def service() -> VoiceService:
        found = parts.voice()
        if found is None:
            raise ConfigError(f"voice is off: {parts.voice_problem()}", next_step="docs/voice.md")
        return found

    @router.get("", summary="Engines, sessions and the last turns, without what was said")
    async def show() -> dict[str, Any]:
        found = parts.voice()
        if found is None:
            return {"state": "off", "problem": parts.voice_problem(), "engines": [], "sessions": 0, "turns": []}
        voice = found.parts
        from microclaw.voice.fallback import common_fault, engines_in

        chains = {"asr": engines_in(voice.recognizer), "tts": engines_in(voice.synthesizer)}
        faults = {role: [await engine.health() for engine in chain] for role, chain in chains.items()}
        problems = [common_fault(of_role) for of_role in faults.values()]
        engines = [
            {"role": role, "name": engine.name, "problem": fault}
            for role, chain in chains.items()
            for engine, fault in zip(chain, faults[role], strict=True)
        ]
        return {
            "state": "on",
            "asr": voice.recognizer.name,
            "tts": voice.synthesizer.name,
            "problem": "; ".join(one for one in problems if one is not None) or None,
            "engines": engines,
            "sessions": found.sessions,
            "turns": [trace.to_json() for trace in voice.traces.newest()],
        }

    @router.post("/test", summary="Speak a text and recognise it: both engines, without a device")
    async def test(body: TestBody, by: RequestCaller) -> dict[str, Any]:
        parts.gate.check_owner(by.person_id, "test the engines of voice")
        voice = service().parts
        began_s = time.monotonic()
        pcm, first_s = b"", 0.0
        from microclaw.voice.resampling import Resampler

        resampler = Resampler(16_000)
        async with aclosing(voice.synthesizer.speak(body.text)) as pieces:
            async for piece in pieces:
                first_s = first_s or time.monotonic() - began_s
                pcm += resampler.feed(piece.pcm, piece.rate_hz)
        pcm += resampler.rest()
        partials: list[float] = []
        recognition = await voice.recognizer.begin(lambda _text: partials.append(time.monotonic()))
        try:
            begun_s = time.monotonic()
            for at in range(0, len(pcm), _FRAME_BYTES):
                recognition.feed(pcm[at : at + _FRAME_BYTES].ljust(_FRAME_BYTES, b"\0"))
                await asyncio.sleep(0)
            fed_s = time.monotonic()
            heard = await recognition.finish()
        finally:
            recognition.abandon()
        return {
            "said": body.text,
            "heard": heard.text,
            "confidence": round(heard.confidence, 2),
            "speech_s": round(len(pcm) / 32_000, 2),
            "first_audio_ms": round(first_s * 1000),
            "first_partial_ms": round((partials[0] - begun_s) * 1000) if partials else None,
            "recognition_ms": round((time.monotonic() - fed_s) * 1000),
        }

    return router
