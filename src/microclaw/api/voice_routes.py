"""/v1/voice: how voice stands, where the time of the last spoken turns went, and a test of its engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from microclaw.api.answers import answers
from microclaw.api.body import RequestBody
from microclaw.api.caller import RequestCaller
from microclaw.api.host_answers import VoiceFacts, VoiceTest
from microclaw.api.parts import HostParts
from microclaw.errors import ConfigError
from microclaw.voice.engine_choice import MAX_TEST_CHARS

if TYPE_CHECKING:
    from microclaw.voice.service import VoiceService


class TestBody(RequestBody):
    text: Annotated[str, Field(min_length=1, max_length=MAX_TEST_CHARS)]


def voice_router(parts: HostParts) -> APIRouter:
    router = APIRouter(prefix="/v1/voice", tags=["voice"])

    def service() -> VoiceService:
        found = parts.voice.service
        if found is None:
            raise ConfigError(f"voice is off: {parts.voice.problems.get('voice')}", next_step="docs/voice.md")
        return found

    @router.get(
        "", summary="Engines, sessions and the last turns, without what was said", responses=answers(VoiceFacts)
    )
    async def show() -> dict[str, Any]:
        found = parts.voice.service
        if found is None:
            problem = parts.voice.problems.get("voice")
            return {"state": "off", "problem": problem, "engines": [], "sessions": 0, "turns": []}
        voice = found.parts
        from microclaw.voice.engine_health import engine_health

        return {
            "state": "on",
            **await engine_health(voice.recognizer, voice.synthesizer),
            "sessions": found.sessions,
            "turns": [trace.to_json() for trace in voice.traces.newest()],
        }

    @router.post(
        "/test", summary="Speak a text and recognise it: both engines, without a device", responses=answers(VoiceTest)
    )
    async def test(body: TestBody, by: RequestCaller) -> dict[str, Any]:
        parts.admission.gate.check_owner(by.person_id, "test the engines of voice")
        voice = service().parts
        from microclaw.voice.engine_trial import try_engines

        return (await try_engines(voice.synthesizer, voice.recognizer, body.text)).to_json()

    return router
