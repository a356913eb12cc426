"""The Bot API over HTTP: calls, downloads and their errors. The token is in every URL, so no URL leaves this file."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from microclaw.backoff import Backoff
from microclaw.channels.telegram.updates import RemoteFile
from microclaw.config.settings import TelegramSettings
from microclaw.egress.destinations import Purpose
from microclaw.egress.outgoing import Errand
from microclaw.errors import MicroclawError
from microclaw.events import Attachment

if TYPE_CHECKING:
    import httpx2


class Timing(Struct, frozen=True):
    """`pause_s`: the least time between two edits of a chat's message (Telegram takes about one a second; in a group 20
    a minute); `first_s`: a turn that ends sooner shows no progress; `poll_s`: how long Telegram holds a poll open.
    """

    poll_s: float = 50.0
    pause_s: float = 1.0
    group_pause_s: float = 3.0
    first_s: float = 0.7
    typing_s: float = 4.5  # Telegram shows "typing" for 5 s
    backoff_s: float = 1.0
    backoff_most_s: float = 60.0
    unknown_sender_s: float = 60.0  # an unknown sender is answered at most this often

    def backoff(self) -> Backoff:
        return Backoff(random.random, min_s=self.backoff_s / 2, max_s=self.backoff_most_s)


CONNECT_S: Final = 10.0
ANSWER_S: Final = 20.0  # beyond what a long poll waits
MAX_ANSWER_BYTES: Final = 8 << 20
MAX_RETRY_AFTER_S: Final = 300.0
MAX_IMAGE_BYTES: Final = 4 << 20  # models take at most 5 MB a picture
MAX_VOICE_BYTES: Final = 4 << 20
FETCH_S: Final = 60.0
_IMAGES: Final = ((b"\xff\xd8\xff", "image/jpeg"), (b"\x89PNG\r\n\x1a\n", "image/png"), (b"GIF8", "image/gif"))
_CHATTY: Final = ("httpx2", "httpcore2.connection", "httpcore2.http11", "httpcore2.proxy")  # they log requests


class TelegramError(MicroclawError):
    """Telegram refused a call. `status` is its error_code; `migrated_to` a group's new chat id."""

    code = "telegram_error"

    def __init__(
        self, method: str, status: int, description: str, *, retry_after_s: float = 0.0, migrated_to: int | None = None
    ) -> None:
        super().__init__(f"{method}: {status} {description}")
        self.status = status
        self.description = description
        self.retry_after_s = retry_after_s
        self.migrated_to = migrated_to

    @property
    def is_of_the_bot(self) -> bool:
        """Whether it is about the bot as a whole: its token was revoked. 404 is what a token of a wrong form gets."""
        return self.status in (401, 404)


class TelegramUnreachable(MicroclawError):
    """No answer, or one that is not Telegram's: the outcome of the call is unknown."""

    code = "telegram_unreachable"


class FileTooLarge(MicroclawError):
    code = "file_too_large"


class NotAPicture(MicroclawError):
    code = "not_a_picture"


class BotApi:
    """One bot. `async with BotApi.opened(settings, proxy=...) as api`."""

    def __init__(self, client: httpx2.AsyncClient, settings: TelegramSettings) -> None:
        self._client = client
        self._calls = f"{settings.base_url.rstrip('/')}/bot{settings.token}"
        self._files = f"{settings.base_url.rstrip('/')}/file/bot{settings.token}"

    @classmethod
    @asynccontextmanager
    async def opened(cls, settings: TelegramSettings, *, proxy: str | None = None) -> AsyncIterator[BotApi]:
        """`proxy` is an http:// proxy, asked with CONNECT."""
        import httpx2

        from microclaw.egress.http_door import http_client

        silence = _TokenFilter(settings.token)
        loggers = [logging.getLogger(name) for name in _CHATTY]
        for logger in loggers:
            logger.addFilter(silence)
        limits = httpx2.Limits(max_connections=32, max_keepalive_connections=8)
        timeout = httpx2.Timeout(ANSWER_S, connect=CONNECT_S)
        try:
            errand = Errand(Purpose.CONFIGURED, settings.base_url)
            async with http_client(errand, proxy=proxy, limits=limits, timeout=timeout) as client:
                yield cls(client, settings)
        finally:
            for logger in loggers:
                logger.removeFilter(silence)

    async def call(self, method: str, *, wait_s: float = 0.0, **arguments: object) -> Any:
        """The call's `result`. Arguments that are None are left out; `wait_s` is how long Telegram may hold it open.

        Raises TelegramError when Telegram refuses, TelegramUnreachable when nobody can say what became of it.
        """
        import httpx2

        body = {name: value for name, value in arguments.items() if value is not None}
        timeout = httpx2.Timeout(ANSWER_S, connect=CONNECT_S, read=ANSWER_S + wait_s)
        url = f"{self._calls}/{method}"
        status, answer = await self._fetch("POST", url, MAX_ANSWER_BYTES, {"json": body}, timeout, method)
        return _result(method, status, answer)

    async def upload(self, method: str, field: str, file: tuple[str, bytes, str], **arguments: str | int) -> Any:
        """A call with a file (name, content, media type), as multipart/form-data. Raises as `call` does."""
        import httpx2

        timeout = httpx2.Timeout(FETCH_S, connect=CONNECT_S)
        body = {"data": {name: str(value) for name, value in arguments.items()}, "files": {field: file}}
        status, answer = await self._fetch("POST", f"{self._calls}/{method}", MAX_ANSWER_BYTES, body, timeout, method)
        return _result(method, status, answer)

    async def download(self, file_path: str, limit_bytes: int) -> bytes:
        """A file that getFile named; FileTooLarge as soon as it has more bytes than `limit_bytes`."""
        import httpx2

        timeout = httpx2.Timeout(ANSWER_S, connect=CONNECT_S)
        url = f"{self._files}/{file_path.lstrip('/')}"
        status, body = await self._fetch("GET", url, limit_bytes, {}, timeout, "download")
        if status != 200:
            raise TelegramError("download", status, "the file is not there")
        return body

    async def _fetch(
        self, verb: str, url: str, limit_bytes: int, body: dict[str, Any], patience: httpx2.Timeout, what: str
    ) -> tuple[int, bytes]:
        import httpx2

        try:
            async with self._client.stream(
                verb, url, **body, timeout=patience, headers={"Accept-Encoding": "identity"}
            ) as response:
                answer = bytearray()
                async for chunk in response.aiter_raw():
                    answer += chunk
                    if len(answer) > limit_bytes:
                        raise FileTooLarge(f"{what}: more than {limit_bytes:,} bytes came")
                return response.status_code, bytes(answer)
        except (httpx2.HTTPError, httpx2.InvalidURL) as exc:
            # `from None`: the library's error holds the request and with it the token
            raise TelegramUnreachable(f"{what}: {type(exc).__name__}") from None


def _result(method: str, status: int, answer: bytes) -> Any:
    """The `result` of a call's answer. Raises TelegramError, TelegramUnreachable."""
    try:
        document = json.loads(answer)
        if document["ok"] is True:
            return document["result"]
        raise _refusal(method, document)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise TelegramUnreachable(f"{method}: an answer with status {status} that is not the Bot API's") from None


def largest(photos: Sequence[RemoteFile]) -> RemoteFile | None:
    """The largest size of a picture that fits; one whose size Telegram does not say is tried last."""
    fitting = [photo for photo in photos if photo.size_bytes <= MAX_IMAGE_BYTES]
    return max(fitting, key=lambda photo: photo.size_bytes, default=None)


async def fetch(api: BotApi, file: RemoteFile) -> Attachment:
    """The file as an attachment. FileTooLarge, TelegramError and TelegramUnreachable say why not."""
    limit_bytes = MAX_IMAGE_BYTES if file.kind == "image" else MAX_VOICE_BYTES
    if file.size_bytes > limit_bytes:
        raise FileTooLarge(f"it has {file.size_bytes:,} bytes, at most {limit_bytes:,} are taken")
    try:
        async with asyncio.timeout(FETCH_S):
            found = await api.call("getFile", file_id=file.file_id)
            path = found.get("file_path") if isinstance(found, dict) else None
            if not isinstance(path, str):
                raise TelegramUnreachable("getFile: the answer names no file")
            data = await api.download(path, limit_bytes)
    except TimeoutError:
        raise TelegramUnreachable(f"getFile: it did not come within {FETCH_S:g} s") from None
    return Attachment(file.kind, _media_type(file, data), data)


def _media_type(file: RemoteFile, data: bytes) -> str:
    """What the bytes say they are: a model refuses a picture with the wrong type."""
    if file.kind != "image":
        return file.media_type
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    found = next((kind for start, kind in _IMAGES if data.startswith(start)), None)
    if found is None:
        raise NotAPicture("it is no JPEG, PNG, GIF or WebP")
    return found


def _refusal(method: str, document: dict[str, Any]) -> TelegramError:
    status, description = int(document["error_code"]), str(document.get("description", ""))[:300]
    parameters = document.get("parameters") or {}
    after = parameters.get("retry_after", 0)
    return TelegramError(
        method,
        status,
        description,
        retry_after_s=min(MAX_RETRY_AFTER_S, max(0.0, float(after))),
        migrated_to=parameters.get("migrate_to_chat_id"),
    )


class _TokenFilter(logging.Filter):
    """Drops what an HTTP library logs of a request with the token in its URL."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self._token = token

    def filter(self, record: logging.LogRecord) -> bool:
        return self._token not in record.getMessage()
