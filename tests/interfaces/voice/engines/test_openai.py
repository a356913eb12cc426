"""Speech over OpenAI's HTTP API, against a real server on loopback."""

from __future__ import annotations

import asyncio
import io
import logging
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import TypeAlias

import pytest
from aiohttp import web
from tests.interfaces.voice.engines.conftest import spoken

from microclaw.errors import VoiceError
from microclaw.host.config.settings import VoiceSettings
from microclaw.interfaces.voice.engines.engine import Transcript
from microclaw.interfaces.voice.engines.openai import OpenAiRecognizer, OpenAiSynthesizer

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
PCM = bytes(range(256)) * 20


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """The base URL of a server whose every path is this handler's."""
    app = web.Application(client_max_size=8 << 20)
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


async def heard(url: str, key: str | None = "sk-1") -> Transcript:
    engine = OpenAiRecognizer(VoiceSettings(openai_base_url=url, openai_key=key))
    try:
        return await engine.hear(PCM)
    finally:
        await engine.close()


def synthesizer(url: str, key: str | None = "sk-1") -> OpenAiSynthesizer:
    return OpenAiSynthesizer(VoiceSettings(openai_base_url=url, openai_key=key))


async def test_an_utterance_goes_up_as_wav_and_its_text_comes_back() -> None:
    asked: dict[str, object] = {}

    async def transcribe(request: web.Request) -> web.Response:
        form = await request.post()
        file = form["file"]
        assert isinstance(file, web.FileField)
        with wave.open(io.BytesIO(file.file.read())) as wav:
            asked["pcm"] = wav.readframes(wav.getnframes())
            asked["format"] = wav.getframerate(), wav.getsampwidth(), wav.getnchannels()
        asked.update(path=request.path, key=request.headers["Authorization"], model=form["model"])
        return web.json_response({"text": " blink pin two\n"})

    async with serving(transcribe) as url:
        assert await heard(url) == Transcript("blink pin two")
    assert asked == {
        "pcm": PCM,
        "format": (16_000, 2, 1),
        "path": "/v1/audio/transcriptions",
        "key": "Bearer sk-1",
        "model": "whisper-1",
    }


async def test_speech_is_played_while_it_comes_and_closing_the_generator_ends_the_request() -> None:
    asked: dict[str, object] = {}
    ended = asyncio.Event()

    async def speak(request: web.Request) -> web.StreamResponse:
        asked.update(await request.json(), path=request.path)
        response = web.StreamResponse(headers={"Content-Type": "audio/pcm"})
        await response.prepare(request)
        try:
            await response.write(PCM[:1001])
            while True:
                await response.write(PCM[1001:])
        finally:
            ended.set()

    async with serving(speak) as url, asyncio.timeout(60):
        engine = synthesizer(url)
        pcm = b""
        async with aclosing(engine.speak("The lamp is on.")) as pieces:
            async for piece in pieces:
                assert (len(piece.pcm) % 2, piece.rate_hz) == (0, 24_000)
                pcm += piece.pcm
                if len(pcm) >= len(PCM):
                    break
        await ended.wait()
        await engine.close()
    assert pcm.startswith(PCM)
    assert asked == {
        "path": "/v1/audio/speech",
        "model": "tts-1",
        "voice": "alloy",
        "input": "The lamp is on.",
        "response_format": "pcm",
    }


def answering(status: int, body: bytes, kind: str = "application/json", **headers: str) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=status, body=body, content_type=kind, headers=headers)

    return answer


async def test_a_service_that_refuses_or_answers_nonsense_is_told() -> None:
    for handler in (
        answering(401, b'{"error": {"message": "no \\u001b[31msuch key"}}'),
        answering(302, b"", Location="http://127.0.0.1:9/"),
        answering(200, b"{"),
        answering(200, b'{"text": 5}'),
        answering(200, b'["text"]'),
        answering(200, b'{"text": "' + b"x" * 2_000_000 + b'"}'),
    ):
        async with serving(handler) as url:
            with pytest.raises(VoiceError) as refused:
                await heard(url)
        assert "\x1b" not in str(refused.value)
    for handler in (
        answering(200, b"<html>", "text/html"),
        answering(200, b"", "audio/pcm"),
        answering(200, bytes(2_000_000), "audio/pcm"),
        answering(429, b'{"error": "slow down"}'),
    ):
        async with serving(handler) as url:
            engine = synthesizer(url)
            with pytest.raises(VoiceError):
                await spoken(engine, "hello")
            await engine.close()


async def test_nobody_there_is_told_without_the_key_or_the_words(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(answering(200, b"")) as url:
        pass
    engine = synthesizer(url, "sk-secret")
    with pytest.raises(VoiceError) as caught:
        await spoken(engine, "my private words")
    await engine.close()
    shown = f"{caught.value!r} {caught.value.__cause__!r} {caplog.text}"
    assert "sk-secret" not in shown
    assert "private" not in shown
