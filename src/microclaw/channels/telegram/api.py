"""The Bot API over HTTP: calls, pictures and their errors. The token is in every URL, so no URL leaves this file."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from msgspec import Struct

from microclaw.backoff import Backoff
from microclaw.channels.telegram.updates import PhotoSize
from microclaw.config.settings import TelegramSettings
from microclaw.egress.destinations import Purpose
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


T = TypeVar("T")
CONNECT_S: Final = 10.0
ANSWER_S: Final = 20.0  # beyond what a long poll waits
FILE_S: Final = 60.0
MAX_ANSWER_BYTES: Final = 8 << 20
MAX_RETRY_AFTER_S: Final = 300.0
MAX_IMAGE_BYTES: Final = 4 << 20  # models take at most 5 MB a picture
_IMAGES: Final = ((b"\xff\xd8\xff", "image/jpeg"), (b"\x89PNG\r\n\x1a\n", "image/png"), (b"GIF8", "image/gif"))
_CHATTY: Final = ("httpx2", "httpcore2.connection", "httpcore2.http11", "httpcore2.proxy")  # they log requests


class TelegramError(MicroclawError):
    """A call failed. `status` is Telegram's error_code; 0: no answer of Telegram's came, nobody knows what was done.

    `migrated_to` is a group's new chat id.
    """

    code = "telegram_error"

    def __init__(
        self, what: str, why: str, status: int = 0, *, retry_after_s: float = 0.0, migrated_to: int | None = None
    ) -> None:
        super().__init__(f"{what}: {status} {why}" if status else f"{what}: {why}")
        self.status = status
        self.why = why
        self.retry_after_s = min(MAX_RETRY_AFTER_S, max(0.0, retry_after_s))
        self.migrated_to = migrated_to

    @property
    def is_of_the_bot(self) -> bool:
        """True if it is about the bot as a whole: its token was revoked. 404 is what a token of a wrong form gets."""
        return self.status in (401, 404)

    @property
    def will_pass(self) -> bool:
        """True if the same call may succeed later."""
        return self.status in (0, 429) or self.status >= 500


class FileRefused(TelegramError):
    """A file that is not taken: it is too large, or no picture."""

    @property
    def will_pass(self) -> bool:
        return False


class _Parameters(Struct, frozen=True):
    retry_after: float = 0.0
    migrate_to_chat_id: int | None = None


class _Reply(Struct, frozen=True):
    ok: bool
    result: Any = None
    error_code: int = 0
    description: str = ""
    parameters: _Parameters = _Parameters()


class _File(Struct, frozen=True):
    file_path: str


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

        def is_silent(record: logging.LogRecord) -> bool:
            return settings.token not in record.getMessage()

        loggers = [logging.getLogger(name) for name in _CHATTY]
        for logger in loggers:
            logger.addFilter(is_silent)
        limits = httpx2.Limits(max_connections=32, max_keepalive_connections=8)
        try:
            async with http_client(Purpose.CONFIGURED, settings.base_url, proxy=proxy, limits=limits) as client:
                yield cls(client, settings)
        finally:
            for logger in loggers:
                logger.removeFilter(is_silent)

    async def call(
        self,
        method: str,
        kind: type[T],
        *,
        wait_s: float = 0.0,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
        **arguments: object,
    ) -> T:
        """The call's result, which is a `kind`. Arguments that are None are left out; `wait_s` is how long Telegram may
        hold it open; `files` have a name, content and media type each. Raises TelegramError.
        """
        given = {name: value for name, value in arguments.items() if value is not None}
        body: dict[str, Any] = {"json": given} if files is None else {"data": given, "files": files}
        url, answer_s = f"{self._calls}/{method}", ANSWER_S if files is None else FILE_S
        status, answer = await self._fetch(method, "POST", url, MAX_ANSWER_BYTES, answer_s + wait_s, **body)
        try:
            reply = msgspec.convert(json.loads(answer), _Reply)
            if reply.ok:
                return msgspec.convert(reply.result, kind)
        except (ValueError, RecursionError):
            reply = _Reply(ok=False)
        if not reply.error_code:
            raise TelegramError(method, f"an answer with status {status} that is not the Bot API's")
        more = reply.parameters
        why, wait_s, new_id = reply.description[:300], more.retry_after, more.migrate_to_chat_id
        raise TelegramError(method, why, reply.error_code, retry_after_s=wait_s, migrated_to=new_id)

    async def picture(self, sizes: Sequence[PhotoSize]) -> Attachment:
        """A picture in its largest size that fits; one whose size Telegram does not say is tried last.

        Raises FileRefused, and TelegramError when it did not come.
        """
        fitting = [size for size in sizes if size.file_size <= MAX_IMAGE_BYTES]
        if not fitting:
            raise FileRefused("picture", "every size of it is too large")
        try:
            async with asyncio.timeout(FILE_S):
                file_id = max(fitting, key=lambda size: size.file_size).file_id
                path = (await self.call("getFile", _File, file_id=file_id)).file_path
                url = f"{self._files}/{path.lstrip('/')}"
                status, data = await self._fetch("download", "GET", url, MAX_IMAGE_BYTES, ANSWER_S)
        except TimeoutError:
            raise TelegramError("getFile", f"it did not come within {FILE_S:g} s") from None
        if status != 200:
            raise TelegramError("download", "the file is not there", status)
        return Attachment("image", _image_type(data), data)

    async def _fetch(
        self, what: str, verb: str, url: str, limit_bytes: int, answer_s: float, **body: Any
    ) -> tuple[int, bytes]:
        import httpx2

        timeout, plain = httpx2.Timeout(answer_s, connect=CONNECT_S), {"Accept-Encoding": "identity"}
        try:
            async with self._client.stream(verb, url, timeout=timeout, headers=plain, **body) as response:
                answer = bytearray()
                async for chunk in response.aiter_raw():
                    answer += chunk
                    if len(answer) > limit_bytes:
                        raise FileRefused(what, f"more than {limit_bytes:,} bytes came")
                return response.status_code, bytes(answer)
        except (httpx2.HTTPError, httpx2.InvalidURL) as exc:
            # `from None`: the library's error holds the request and with it the token
            raise TelegramError(what, type(exc).__name__) from None


def _image_type(data: bytes) -> str:
    """The media type of the bytes: a model refuses a picture with the wrong one."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    found = next((kind for start, kind in _IMAGES if data.startswith(start)), None)
    if found is None:
        raise FileRefused("picture", "it is no JPEG, PNG, GIF or WebP")
    return found
