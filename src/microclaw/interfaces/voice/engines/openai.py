"""Speech to text and text to speech by services that are OpenAI's or compatible with it, over its own client.

`/audio/transcriptions` takes a whole utterance; `/audio/speech` streams 24 kHz PCM:
https://platform.openai.com/docs/api-reference/audio. A base URL contains the version, as for the models.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from microclaw.errors import VoiceError
from microclaw.host.config.settings import VoiceSettings
from microclaw.interfaces.voice.engines.engine import (
    MAX_SENTENCE_S,
    MAX_TEXT_CHARS,
    RATE_HZ,
    Engine,
    Recognizer,
    Speech,
    Synthesizer,
    Transcript,
    speakable,
)
from microclaw.interfaces.voice.engines.wav import wav_of
from microclaw.text import clean_text

if TYPE_CHECKING:
    from openai import AsyncOpenAI

OPENAI_URL: Final = "https://api.openai.com/v1"
SPEECH_HZ: Final = 24_000
ANSWER_S: Final = 15.0
CONNECT_S: Final = 5.0
MAX_SPEECH_BYTES: Final = MAX_SENTENCE_S * SPEECH_HZ * 2
# These libraries log addresses and the spoken texts.
_CHATTY: Final = ("openai", "httpx2", "httpcore2")
_NO_KEY: Final = "microclaw config set voice.openai_key @FILE, or voice.openai_base_url for a server of your own"


class _OpenAiEngine(Engine):
    """A client for one server, made at its first use. The key goes only there; the user's own server may need none."""

    name = "openai"

    def __init__(self, settings: VoiceSettings, *, proxy: str | None = None) -> None:
        self._settings = settings
        self._proxy = proxy
        self._place = clean_text(settings.openai_base_url, one_line=True, limit=200)
        self._client: AsyncOpenAI | None = None

    async def check(self) -> None:
        """Raise VoiceError if OpenAI's key is missing. It sends no request, because a request would cost money."""
        if self._settings.openai_base_url == OPENAI_URL and not self._settings.openai_key:
            raise VoiceError("OpenAI's speech needs a key", next_step=_NO_KEY)

    async def close(self) -> None:
        client = self._client
        self._client = None
        if client is not None:
            await client.close()

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[AsyncOpenAI]:
        """Yield the client, and turn its failures into VoiceErrors, which quote neither the key nor the spoken text."""
        await self.check()
        from httpx2 import HTTPError
        from openai import APIStatusError, OpenAIError

        try:
            yield self._open_client()
        except APIStatusError as exc:
            message = exc.body.get("message") if isinstance(exc.body, dict) else exc.body
            reason = ""
            if isinstance(message, str):
                reason = clean_text(message, one_line=True, limit=200)
            text = f"{self._place} refused it with status {exc.status_code}: {reason}"
            raise VoiceError(text, foreign=True) from None
        except (OpenAIError, HTTPError, ValueError, RecursionError) as exc:
            raise VoiceError(f"{self._place} did not answer as it should: {type(exc).__name__}") from None

    def _open_client(self) -> AsyncOpenAI:
        if self._client is None:
            from httpx2 import Timeout
            from openai import AsyncOpenAI

            from microclaw.agent.models.bounded_http import bounded_client

            for name in _CHATTY:
                logging.getLogger(name).setLevel(logging.WARNING)
            url = self._settings.openai_base_url
            self._client = AsyncOpenAI(
                api_key=self._settings.openai_key or "no key",
                base_url=url,
                max_retries=0,
                timeout=Timeout(ANSWER_S, connect=CONNECT_S),
                http_client=bounded_client(MAX_SPEECH_BYTES, proxy=self._proxy, base_url=url),
            )
            # The library reads these from the environment. Only the configured key may go to the server.
            self._client.organization = None
            self._client.project = None
        return self._client


class OpenAiRecognizer(_OpenAiEngine, Recognizer):
    """Speech to text by such a service."""

    def hears_at_pauses(self) -> bool:
        return False

    async def hear(self, pcm: bytes) -> Transcript:
        async with self._asking() as client:
            wav = ("speech.wav", wav_of(pcm, RATE_HZ), "audio/wav")
            model = self._settings.openai_asr_model
            result = await client.audio.transcriptions.create(file=wav, model=model, language="en")
        text = getattr(result, "text", None)
        if not isinstance(text, str):
            raise VoiceError(f"{self._place} answered without a transcript")
        return Transcript(clean_text(text, one_line=True, limit=MAX_TEXT_CHARS))


class OpenAiSynthesizer(_OpenAiEngine, Synthesizer):
    """Text to speech by such a service."""

    async def speak(self, text: str) -> AsyncGenerator[Speech]:
        text = speakable(text)
        if not text:
            return
        # A piece of the stream may end in the middle of a sample.
        odd_byte = b""
        has_begun = False
        settings = self._settings
        async with (
            self._asking() as client,
            client.audio.speech.with_streaming_response.create(
                model=settings.openai_tts_model, voice=settings.openai_voice, input=text, response_format="pcm"
            ) as response,
        ):
            kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind.startswith("text/") or kind == "application/json":
                raise VoiceError(f"{self._place} answered with {kind} instead of audio")
            async for data in response.iter_bytes():
                pcm = odd_byte + data
                whole_bytes = len(pcm) & ~1
                odd_byte = pcm[whole_bytes:]
                if whole_bytes:
                    has_begun = True
                    yield Speech(pcm[:whole_bytes], SPEECH_HZ)
        if not has_begun:
            raise VoiceError(f"{self._place} answered without audio")
