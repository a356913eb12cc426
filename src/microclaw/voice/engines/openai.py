"""Speech to text and text to speech by services that are OpenAI's or compatible with it, over HTTP.

`/audio/transcriptions` takes the utterance whole; `/audio/speech` streams 24 kHz PCM:
https://platform.openai.com/docs/api-reference/audio. A base URL has the version in it, as the models' has.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

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
    import httpx2

OPENAI_URL: Final = "https://api.openai.com/v1"
SPEECH_HZ: Final = 24_000
ANSWER_S: Final = 15.0
CONNECT_S: Final = 5.0
MAX_SPEECH_BYTES: Final = MAX_SENTENCE_S * SPEECH_HZ * 2
MAX_TEXT_BYTES: Final = 64 << 10
_CHATTY: Final = ("httpx2", "httpcore2")  # they log addresses
_NO_KEY: Final = "microclaw config set voice.openai_key @FILE, or voice.openai_base_url for a server of your own"


@dataclass(frozen=True, slots=True)
class SpeechService:
    """The address of the service. A server of one's own may need no key; the key goes to `base_url` alone."""

    base_url: str = OPENAI_URL
    key: str | None = field(default=None, repr=False)
    proxy: str | None = None


class _Text(msgspec.Struct):
    text: str


class _OpenAiEngine(Engine):
    """One client, made when it is needed first. Errors quote neither the key nor what was said."""

    name = "openai"

    def __init__(self, service: SpeechService, model: str) -> None:
        self._service, self._model = service, model
        self._place = clean_text(service.base_url, one_line=True, limit=200)
        self._client: httpx2.AsyncClient | None = None

    async def health(self) -> str | None:
        """It asks nobody: that would cost money."""
        return f"OpenAI's speech needs a key (next: {_NO_KEY})" if self._lacks_key else None

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    @property
    def _lacks_key(self) -> bool:
        return self._service.base_url == OPENAI_URL and not self._service.key

    @asynccontextmanager
    async def _answer(self, path: str, limit_bytes: int, **content: Any) -> AsyncIterator[httpx2.Response]:
        """The answer of a POST, its body not yet read. Raises VoiceError, also while it is read."""
        import httpx2

        from microclaw.models.bounded_http import AnswerTooLarge

        if self._lacks_key:
            raise VoiceError("OpenAI's speech needs a key", next_step=_NO_KEY)
        headers = {"Authorization": f"Bearer {self._service.key}"} if self._service.key else {}
        url = f"{self._service.base_url.rstrip('/')}/{path}"
        try:
            async with self._opened().stream("POST", url, headers=headers, **content) as response:
                declared = response.headers.get("content-length", "")
                if response.status_code != 200:
                    raise VoiceError(await _refusal(self._place, response), foreign=True)
                if declared.isdecimal() and int(declared) > limit_bytes:
                    raise VoiceError(f"{self._place} answers with more than {limit_bytes:,} bytes")
                yield response
        except (httpx2.HTTPError, httpx2.InvalidURL) as exc:
            why = str(exc) if isinstance(exc, AnswerTooLarge) else type(exc).__name__
            raise VoiceError(f"{self._place} did not answer: {why}") from None  # its error holds the request

    def _opened(self) -> httpx2.AsyncClient:
        if self._client is None:
            import httpx2

            from microclaw.models.bounded_http import bounded_client

            for name in _CHATTY:
                logging.getLogger(name).setLevel(logging.WARNING)
            service = self._service
            self._client = bounded_client(MAX_SPEECH_BYTES, proxy=service.proxy, base_url=service.base_url)
            self._client.timeout = httpx2.Timeout(ANSWER_S, connect=CONNECT_S)
        return self._client


class OpenAiRecognizer(_OpenAiEngine, Recognizer):
    def hears_at_pauses(self) -> bool:
        return False

    async def hear(self, pcm: bytes) -> Transcript:
        files = {"file": ("speech.wav", wav_of(pcm, RATE_HZ), "audio/wav")}
        form = {"model": self._model, "language": "en", "response_format": "json"}
        async with self._answer("audio/transcriptions", MAX_TEXT_BYTES, data=form, files=files) as response:
            body = await response.aread()
        try:
            text = msgspec.json.decode(body, type=_Text).text
        except (msgspec.MsgspecError, RecursionError) as exc:
            raise VoiceError(f"{self._place} answered without a transcript") from exc
        return Transcript(clean_text(text, one_line=True, limit=MAX_TEXT_CHARS))


class OpenAiSynthesizer(_OpenAiEngine, Synthesizer):
    def __init__(self, service: SpeechService, model: str, voice: str) -> None:
        super().__init__(service, model)
        self._voice = voice

    async def speak(self, text: str) -> AsyncGenerator[Speech]:
        if not (text := speakable(text)):
            return
        body = {"model": self._model, "voice": self._voice, "input": text, "response_format": "pcm"}
        odd, has_begun = b"", False
        async with self._answer("audio/speech", MAX_SPEECH_BYTES, json=body) as response:
            kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind.startswith("text/") or kind == "application/json":
                raise VoiceError(f"{self._place} answered {kind} where audio was asked for")
            async for data in response.aiter_bytes():
                pcm = odd + data
                odd = pcm[len(pcm) & ~1 :]
                if len(pcm) > 1:
                    has_begun = True
                    yield Speech(pcm[: len(pcm) & ~1], SPEECH_HZ)
        if not has_begun:
            raise VoiceError(f"{self._place} answered without audio")


async def _refusal(place: str, response: httpx2.Response) -> str:
    """The status with the service's own words, where they are of the usual form."""
    said: Any = ""
    try:
        async with asyncio.timeout(2):
            error = msgspec.json.decode(await response.aread())["error"]
        said = error["message"] if isinstance(error, dict) else error
    except (TimeoutError, msgspec.MsgspecError, ValueError, KeyError, TypeError, RecursionError):
        pass
    words = f": {clean_text(said, one_line=True, limit=200)}" if isinstance(said, str) and said else ""
    return f"{place} refused it with status {response.status_code}{words}"
