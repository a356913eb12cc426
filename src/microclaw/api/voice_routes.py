"""/v1/voice: how voice stands, where the time of the last spoken turns went, and a test of its engines."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from microclaw.api.answers import answers
from microclaw.api.body import RequestBody
from microclaw.api.caller import Caller, RequestCaller
from microclaw.api.host_answers import RecordingList, RecordingWindowFacts, RemovedRecordings, VoiceFacts, VoiceTest
from microclaw.api.parts import HostParts
from microclaw.devices.device import Device
from microclaw.errors import ConfigError
from microclaw.link_server.transport import SCHEME as LINK
from microclaw.voice.engine_choice import MAX_TEST_CHARS
from microclaw.wire.xiaozhi import SCHEME as XIAOZHI

if TYPE_CHECKING:
    from microclaw.voice.recording import Recordings, RecordingWindow
    from microclaw.voice.service import VoiceService


class TestBody(RequestBody):
    text: Annotated[str, Field(min_length=1, max_length=MAX_TEST_CHARS)]


class RecordBody(RequestBody):
    device: Annotated[str, Field(max_length=100)]
    for_s: Annotated[int, Field(ge=10, le=86_400)]


def voice_router(parts: HostParts) -> APIRouter:
    router = APIRouter(prefix="/v1/voice", tags=["voice"])

    def service() -> VoiceService:
        found = parts.voice()
        if found is None:
            raise ConfigError(f"voice is off: {parts.voice_problem()}", next_step="docs/voice.md")
        return found

    @router.get(
        "", summary="Engines, sessions and the last turns, without what was said", responses=answers(VoiceFacts)
    )
    async def show() -> dict[str, Any]:
        found = parts.voice()
        if found is None:
            return {"state": "off", "problem": parts.voice_problem(), "engines": [], "sessions": 0, "turns": []}
        voice = found.parts
        from microclaw.voice.engine_health import engine_health

        return {
            "state": "on",
            **await engine_health(voice.recognizer, voice.synthesizer, voice.wake_words),
            "sessions": found.sessions,
            "turns": [trace.to_json() for trace in voice.traces.newest()],
        }

    @router.post(
        "/test", summary="Speak a text and recognise it: both engines, without a device", responses=answers(VoiceTest)
    )
    async def test(body: TestBody, by: RequestCaller) -> dict[str, Any]:
        parts.gate.check_owner(by.person_id, "test the engines of voice")
        voice = service().parts
        from microclaw.voice.engine_trial import try_engines

        return (await try_engines(voice.synthesizer, voice.recognizer, body.text)).to_json()

    _route_recordings(router, parts, service)
    return router


def _route_recordings(router: APIRouter, parts: HostParts, service: Callable[[], VoiceService]) -> None:
    """What a device hears, kept for debugging: the owner's alone."""

    def recordings(by: Caller) -> Recordings:
        parts.gate.check_owner(by.person_id, "record what is said")
        found = service().parts.recordings
        if found is None:
            raise ConfigError("this host records nothing", next_step="docs/voice.md")
        return found

    @router.get(
        "/recordings", summary="Which devices are recorded, and what was kept", responses=answers(RecordingList)
    )
    async def show(by: RequestCaller) -> dict[str, Any]:
        kept = recordings(by)
        return {"on": [_window_object(one) for one in kept.windows()], "days": kept.days, "files": await kept.files()}

    @router.post(
        "/recordings",
        summary="Record what a device hears, for a while; it says so aloud",
        responses=answers(RecordingWindowFacts),
    )
    async def begin(body: RecordBody, by: RequestCaller) -> dict[str, Any]:
        device = parts.devices.get(body.device)
        name = parts.gate.name_of(by.person_id)
        return _window_object(recordings(by).begin(voice_id(device), device.name, body.for_s, by=name))

    @router.delete(
        "/recordings/on/{name}", summary="Record no more of a device", responses=answers(RecordingWindowFacts)
    )
    async def end(name: str, by: RequestCaller) -> dict[str, Any]:
        device = parts.devices.get(name)
        ended = recordings(by).end(voice_id(device), by=parts.gate.name_of(by.person_id))
        service().tell_recording_ended(ended)
        return _window_object(ended)

    @router.delete("/recordings", summary="Remove every recording", responses=answers(RemovedRecordings))
    async def remove_all(by: RequestCaller) -> dict[str, Any]:
        return {"removed": await recordings(by).remove(None)}

    @router.delete("/recordings/{recording}", summary="Remove one recording", responses=answers(RemovedRecordings))
    async def remove(recording: str, by: RequestCaller) -> dict[str, Any]:
        return {"removed": await recordings(by).remove(recording)}


def voice_id(device: Device) -> str:
    """What its voice sessions are called by. ConfigError for a device that is never spoken to."""
    for endpoint in device.endpoints:
        if endpoint.startswith(LINK):
            return endpoint.removeprefix(LINK)
        if endpoint.startswith(XIAOZHI):
            return device.device_id
    raise ConfigError(f"{device.name} has no microphone for this host", next_step="microclaw device list")


def _window_object(window: RecordingWindow) -> dict[str, Any]:
    return {"device": window.name, "until_ms": window.until_ms, "told": window.is_told}
