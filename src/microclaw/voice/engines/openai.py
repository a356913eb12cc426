"""Speech to text and text to speech by services that are OpenAI's or compatible with it, over HTTP.

`/audio/transcriptions` takes the utterance whole, so there are no partials; `/audio/speech` streams 24 kHz PCM:
https://platform.openai.com/docs/api-reference/audio. A base URL has the version in it, as the models' has.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from microclaw.errors import VoiceError
from microclaw.text import clean_text
from microclaw.voice.engines.engine import RATE_HZ, Recognition, Speech, Transcript
from microclaw.voice.engines.program import MAX_SENTENCE_S, speakable
from microclaw.voice.engines.wav import wav_of

if TYPE_CHECKING:
    import httpx2

OPENAI_URL: Final = "https://api.openai.com/v1"
SPEECH_HZ: Final = 24_000
ANSWER_S: Final = 15.0
CONNECT_S: Final = 5.0
MAX_SPEECH_BYTES: Final = MAX_SENTENCE_S * SPEECH_HZ * 2
MAX_TEXT_BYTES: Final = 64 << 10
MAX_UTTERANCE_BYTES: Final = 60 * RATE_HZ * 2
MAX_TRANSCRIPT_CHARS: Final = 2_000
_CHATTY: Final = ("httpx2", "httpcore2")  # they log addresses
_NO_KEY: Final = "microclaw config set voice.openai_key @FILE, or voice.openai_base_url for a server of your own"


@dataclass(frozen=True, slots=True)
class SpeechService:
    """The address of the service. A server of one's own may need no key; the key goes to `base_url` alone."""

    base_url: str = OPENAI_URL
    key: str | None = field(default=None, repr=False)
    proxy: str | None = None

    @property
    def fault(self) -> str | None:
        """The health line. It asks nobody: that would cost money."""
        return (
            f"OpenAI's speech needs a key (next: {_NO_KEY})" if self.base_url == OPENAI_URL and not self.key else None
        )


class OpenAiRecognizer:
    name = "openai"

    def __init__(self, service: SpeechService, model: str, *, language: str = "en") -> None:
        self._http = _Http(service)
        self._service, self._model, self._language = service, model, language

    async def warm_up(self) -> None: ...

    async def begin(self, on_partial: Callable[[str], None]) -> Recognition:  # noqa: ARG002  nothing is partial
        if self._service.fault is not None:
            raise VoiceError("OpenAI's speech needs a key", next_step=_NO_KEY)
        return _OpenAiRecognition(self)

    async def transcribe(self, pcm: bytes) -> Transcript:
        files = {"file": ("speech.wav", wav_of(pcm, RATE_HZ), "audio/wav")}
        form = {"model": self._model, "language": self._language, "response_format": "json"}
        async with self._http.answer("audio/transcriptions", MAX_TEXT_BYTES, data=form, files=files) as response:
            body = await response.aread()
        try:
            text = json.loads(body)["text"]
        except (ValueError, KeyError, TypeError, RecursionError) as exc:
            raise VoiceError(f"{self._http.place} answered without a transcript") from exc
        if not isinstance(text, str):
            raise VoiceError(f"{self._http.place} answered without a transcript")
        return Transcript(clean_text(text, one_line=True, limit=MAX_TRANSCRIPT_CHARS))

    async def health(self) -> str | None:
        return self._service.fault

    async def close(self) -> None:
        await self._http.close()


class OpenAiSynthesizer:
    name = "openai"

    def __init__(self, service: SpeechService, model: str, voice: str) -> None:
        self._http = _Http(service)
        self._service, self._model, self._voice = service, model, voice

    async def speak(self, text: str) -> AsyncGenerator[Speech]:
        text = speakable(text)
        if not text:
            return
        if self._service.fault is not None:
            raise VoiceError("OpenAI's speech needs a key", next_step=_NO_KEY)
        body = {"model": self._model, "voice": self._voice, "input": text, "response_format": "pcm"}
        odd, has_begun = b"", False
        async with self._http.answer("audio/speech", MAX_SPEECH_BYTES, json=body) as response:
            kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind.startswith("text/") or kind == "application/json":
                raise VoiceError(f"{self._http.place} answered {kind} where audio was asked for")
            async for data in response.aiter_bytes():
                pcm = odd + data
                odd = pcm[len(pcm) & ~1 :]
                if len(pcm) > 1:
                    has_begun = True
                    yield Speech(pcm[: len(pcm) & ~1], SPEECH_HZ)
        if not has_begun:
            raise VoiceError(f"{self._http.place} answered without audio")

    async def health(self) -> str | None:
        return self._service.fault

    async def close(self) -> None:
        await self._http.close()


class _OpenAiRecognition:
    def __init__(self, recognizer: OpenAiRecognizer) -> None:
        self._recognizer = recognizer
        self._pcm = bytearray()

    def feed(self, pcm: bytes) -> None:
        if len(self._pcm) + len(pcm) > MAX_UTTERANCE_BYTES:
            raise VoiceError("the utterance is longer than a minute")
        self._pcm += pcm

    def pause(self) -> None: ...

    async def finish(self) -> Transcript:
        return await self._recognizer.transcribe(bytes(self._pcm))

    def abandon(self) -> None:
        self._pcm.clear()


class _Http:
    """One client, made when it is needed first. Errors quote neither the key nor what was said."""

    def __init__(self, service: SpeechService) -> None:
        self.place = clean_text(service.base_url, one_line=True, limit=200)
        self._service = service
        self._client: httpx2.AsyncClient | None = None

    @asynccontextmanager
    async def answer(self, path: str, limit_bytes: int, **content: Any) -> AsyncIterator[httpx2.Response]:
        """The answer of a POST, its body not yet read. Raises VoiceError, also while it is read."""
        import httpx2

        headers = {"Authorization": f"Bearer {self._service.key}"} if self._service.key else {}
        url = f"{self._service.base_url.rstrip('/')}/{path}"
        try:
            async with self._opened().stream("POST", url, headers=headers, **content) as response:
                declared = response.headers.get("content-length", "")
                if response.status_code != 200:
                    raise VoiceError(await _refusal(self.place, response), foreign=True)
                if declared.isdecimal() and int(declared) > limit_bytes:
                    raise VoiceError(f"{self.place} answers with more than {limit_bytes:,} bytes")
                yield response
        except (httpx2.HTTPError, httpx2.InvalidURL) as exc:
            why = str(exc) if _too_large(exc) else type(exc).__name__
            raise VoiceError(f"{self.place} did not answer: {why}") from None  # its error holds the request

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

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


def _too_large(exc: BaseException) -> bool:
    from microclaw.models.bounded_http import AnswerTooLarge

    return isinstance(exc, AnswerTooLarge)


async def _refusal(place: str, response: httpx2.Response) -> str:
    """The status with the service's own words, where they are of the usual form."""
    said = ""
    try:
        async with asyncio.timeout(2):
            error = json.loads(await response.aread())["error"]
        said = error["message"] if isinstance(error, dict) else error
    except (TimeoutError, ValueError, KeyError, TypeError, RecursionError):
        pass
    words = f": {clean_text(said, one_line=True, limit=200)}" if isinstance(said, str) and said else ""
    return f"{place} refused it with status {response.status_code}{words}"
