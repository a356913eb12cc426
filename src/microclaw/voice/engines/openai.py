"""Speech to text and text to speech by services that are OpenAI's or compatible with it, over its own client.

`/audio/transcriptions` takes the utterance whole; `/audio/speech` streams 24 kHz PCM:
https://platform.openai.com/docs/api-reference/audio. A base URL has the version in it, as the models' has.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from microclaw.config.settings import VoiceSettings
from microclaw.errors import VoiceError
from microclaw.text import clean_text
from microclaw.voice.engines.engine import (
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
from microclaw.voice.engines.wav import wav_of

if TYPE_CHECKING:
    from openai import AsyncOpenAI

OPENAI_URL: Final = "https://api.openai.com/v1"
SPEECH_HZ: Final = 24_000
ANSWER_S: Final = 15.0
CONNECT_S: Final = 5.0
MAX_SPEECH_BYTES: Final = MAX_SENTENCE_S * SPEECH_HZ * 2
_CHATTY: Final = ("openai", "httpx2", "httpcore2")  # they log addresses and what is said
_NO_KEY: Final = "microclaw config set voice.openai_key @FILE, or voice.openai_base_url for a server of your own"


class _OpenAiEngine(Engine):
    """One client, made when it is needed first. A server of one's own may need no key; the key goes there alone."""

    name = "openai"

    def __init__(self, settings: VoiceSettings, *, proxy: str | None = None) -> None:
        self._settings = settings
        self._proxy = proxy
        self._place = clean_text(settings.openai_base_url, one_line=True, limit=200)
        self._client: AsyncOpenAI | None = None

    async def check(self) -> None:
        """It asks nobody: that would cost money."""
        if self._settings.openai_base_url == OPENAI_URL and not self._settings.openai_key:
            raise VoiceError("OpenAI's speech needs a key", next_step=_NO_KEY)

    async def close(self) -> None:
        client = self._client
        self._client = None
        if client is not None:
            await client.close()

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[AsyncOpenAI]:
        """Its failures become VoiceErrors, which quote neither the key nor what was said."""
        await self.check()
        from httpx2 import HTTPError
        from openai import APIStatusError, OpenAIError

        try:
            yield self._opened()
        except APIStatusError as exc:
            if isinstance(exc.body, dict):
                said = exc.body.get("message")
            else:
                said = exc.body
            if isinstance(said, str):
                words = clean_text(said, one_line=True, limit=200)
            else:
                words = ""
            text = f"{self._place} refused it with status {exc.status_code}: {words}"
            raise VoiceError(text, foreign=True) from None
        except (OpenAIError, HTTPError, ValueError, RecursionError) as exc:
            raise VoiceError(f"{self._place} did not answer as it should: {type(exc).__name__}") from None

    def _opened(self) -> AsyncOpenAI:
        if self._client is None:
            from httpx2 import Timeout
            from openai import AsyncOpenAI

            from microclaw.models.bounded_http import bounded_client

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
            self._client.organization = self._client.project = None  # the environment's: the key goes there alone
        return self._client


class OpenAiRecognizer(_OpenAiEngine, Recognizer):
    def hears_at_pauses(self) -> bool:
        return False

    async def hear(self, pcm: bytes) -> Transcript:
        async with self._asking() as client:
            wav = ("speech.wav", wav_of(pcm, RATE_HZ), "audio/wav")
            model = self._settings.openai_asr_model
            found = await client.audio.transcriptions.create(file=wav, model=model, language="en")
        text = getattr(found, "text", None)
        if not isinstance(text, str):
            raise VoiceError(f"{self._place} answered without a transcript")
        return Transcript(clean_text(text, one_line=True, limit=MAX_TEXT_CHARS))


class OpenAiSynthesizer(_OpenAiEngine, Synthesizer):
    async def speak(self, text: str) -> AsyncGenerator[Speech]:
        text = speakable(text)
        if not text:
            return
        odd = b""
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
                raise VoiceError(f"{self._place} answered {kind} where audio was asked for")
            async for data in response.iter_bytes():
                pcm = odd + data
                odd = pcm[len(pcm) & ~1 :]
                if len(pcm) > 1:
                    has_begun = True
                    yield Speech(pcm[: len(pcm) & ~1], SPEECH_HZ)
        if not has_begun:
            raise VoiceError(f"{self._place} answered without audio")
