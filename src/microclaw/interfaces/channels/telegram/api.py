"""The Bot API over HTTP: calls, pictures, updates and their errors.

The token is in every URL, so no URL leaves this file.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec import Struct

from microclaw.backoff import Backoff
from microclaw.conversion import convert
from microclaw.errors import ConfigError, MicroclawError, error_below
from microclaw.events import Attachment, image_type
from microclaw.host.config.settings import TelegramSettings
from microclaw.text import encodable

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")
_log = logging.getLogger(__name__)
CONNECT_S: Final = 10.0
# For an answer, after the time that Telegram may hold a long poll open.
ANSWER_S: Final = 20.0
FILE_S: Final = 60.0
MAX_ANSWER_BYTES: Final = 8 << 20
MAX_RETRY_AFTER_S: Final = 300.0
_CHAT_ID: Final = re.compile(r"(-?[0-9]{1,20})(?:\.([0-9]{1,20}))?")
# Models accept at most 5 MB for a picture.
MAX_IMAGE_BYTES: Final = 4 << 20


class Timing(Struct, frozen=True):
    """The waiting times of the channel.

    `poll_s`: how long Telegram holds a poll open; `first_s`: a turn that ends sooner shows no "typing";
    `unknown_sender_s`: the shortest time between two answers to the same unknown sender.
    """

    poll_s: float = 50.0
    first_s: float = 0.7
    backoff_s: float = 1.0
    unknown_sender_s: float = 60.0

    def backoff(self) -> Backoff:
        return Backoff(random.random, min_s=self.backoff_s / 2, max_s=60 * self.backoff_s)


class TelegramError(MicroclawError, code="telegram_error"):
    """A call failed.

    `status` is Telegram's error_code; 0 if Telegram did not answer: then the call may have been done or not.
    `migrated_to` is a group's new chat id.
    """

    def __init__(
        self, what: str, why: str, status: int = 0, *, retry_after_s: float = 0.0, migrated_to: int | None = None
    ) -> None:
        message = f"{what}: {why}"
        if status:
            message = f"{what}: {status} {why}"
        super().__init__(message)
        self.status = status
        self.why = why
        self.retry_after_s = min(MAX_RETRY_AFTER_S, max(0.0, retry_after_s))
        self.migrated_to = migrated_to

    @property
    def is_bot_refused(self) -> bool:
        """True if the bot as a whole is refused: its token was revoked. 404 is the status for a malformed token."""
        return self.status in (401, 404)

    @property
    def is_temporary(self) -> bool:
        """True if the same call may succeed later."""
        return self.status in (0, 429) or self.status >= 500


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


class User(Struct, frozen=True):
    id: int
    is_bot: bool = False
    first_name: str = ""
    username: str = ""


class Chat(Struct, frozen=True):
    id: int
    type: str


class Address(Struct, frozen=True):
    """The place of a message: a chat, the topic in a forum, and the message that it replies to."""

    chat: int
    topic: int | None = None
    reply_to: int | None = None

    @property
    def chat_id(self) -> str:
        """The conversation's name in the inbox: each topic of a forum is one."""
        if self.topic is None:
            return str(self.chat)
        return f"{self.chat}.{self.topic}"

    @classmethod
    def of(cls, chat_id: str, reply_to: str | None = None) -> Address | None:
        """Parse a conversation's name; return None if it is not one of Telegram."""
        match = _CHAT_ID.fullmatch(chat_id)
        if match is None:
            return None
        topic = None if match[2] is None else int(match[2])
        message_id = None if reply_to is None else int(reply_to)
        return cls(int(match[1]), topic, message_id)


class PhotoSize(Struct, frozen=True):
    """One size of a picture; `file_size` in bytes, 0 if Telegram leaves it out."""

    file_id: str
    file_size: int = 0


class _OtherMessage(Struct, frozen=True, rename={"sender": "from"}):
    """The message that is replied to, or that has the button; Telegram may leave out its sender, or all of it."""

    chat: Chat = Chat(0, "")
    sender: User | None = None


class TelegramMessage(Struct, frozen=True, rename={"sender": "from"}):
    """A message of a person or of another bot.

    `caption` belongs to a picture or to a file of another kind. `date` is the time of sending, in Unix time; 0 if
    Telegram leaves it out. `message_thread_id` is a forum's topic if `is_topic_message`, else only a thread of replies.
    """

    chat: Chat
    sender: User
    message_id: int | None = None
    date: int = 0
    message_thread_id: int | None = None
    is_topic_message: bool = False
    text: str = ""
    caption: str = ""
    photo: tuple[PhotoSize, ...] = ()
    reply_to_message: _OtherMessage = _OtherMessage()
    forward_origin: Any = None
    # The field of a Bot API before 7.0.
    forward_date: Any = None

    @property
    def is_forwarded(self) -> bool:
        """True if another person wrote the words."""
        return self.forward_origin is not None or self.forward_date is not None

    @property
    def address(self) -> Address:
        """The place for its answer. In a group it points to the message, because others write there, too."""
        topic = self.message_thread_id if self.is_topic_message else None
        reply_to = None if self.chat.type == "private" else self.message_id
        return Address(self.chat.id, topic, reply_to)

    def text_without_name(self, me: User) -> str:
        """Return the text without the bot's @name; empty if it is neither text nor a picture with a caption."""
        caption = self.caption if self.photo else ""
        text = self.text or caption
        return encodable(_name_pattern(me).sub("", text)).strip()

    def is_for(self, me: User) -> bool:
        """Return True if it is for the bot: private, or in a group with its name, a reply to it, or its command."""
        if self.chat.type == "private":
            return True
        if _name_pattern(me).search(self.text or self.caption) is not None:
            return True
        replied_to = self.reply_to_message.sender
        return replied_to is not None and replied_to.id == me.id


class ButtonPress(Struct, frozen=True, rename={"sender": "from", "query_id": "id"}):
    query_id: str
    sender: User
    message: _OtherMessage = _OtherMessage()
    data: str = ""


class Update(Struct, frozen=True):
    update_id: int
    message: TelegramMessage | None = None
    callback_query: ButtonPress | None = None


class BotApi:
    """One bot. `async with BotApi.opened(settings, proxy=...) as api`."""

    def __init__(self, client: httpx2.AsyncClient, settings: TelegramSettings) -> None:
        base_url = settings.base_url.rstrip("/")
        self._client = client
        self._calls = f"{base_url}/bot{settings.token}"
        self._files = f"{base_url}/file/bot{settings.token}"

    @classmethod
    @asynccontextmanager
    async def opened(cls, settings: TelegramSettings, *, proxy: str | None = None) -> AsyncIterator[BotApi]:
        """Open an HTTP client for one bot. `proxy` is an http:// proxy, used with CONNECT."""
        from microclaw.agent.models.bounded_http import bounded_client

        # At their usual level these libraries log addresses, and each address contains the token.
        for name in ("httpx2", "httpcore2"):
            logging.getLogger(name).setLevel(logging.WARNING)
        async with bounded_client(MAX_ANSWER_BYTES, proxy=proxy, base_url=settings.base_url) as client:
            yield cls(client, settings)

    async def call(
        self,
        method: str,
        kind: type[T],
        *,
        wait_s: float = 0.0,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
        **arguments: object,
    ) -> T:
        """Call a method and return its result, converted to `kind`.

        Arguments that are None are left out. `wait_s` is how long Telegram may hold the call open. `files` have a
        name, content and media type each. Raises TelegramError.
        """
        fields = {name: value for name, value in arguments.items() if value is not None}
        if files is None:
            body: dict[str, Any] = {"json": fields}
            answer_s = ANSWER_S
        else:
            body = {"data": fields, "files": files}
            answer_s = FILE_S
        url = f"{self._calls}/{method}"
        status, answer = await self._fetch(method, "POST", url, answer_s + wait_s, **body)
        return _parse_result(method, kind, status, answer)

    async def call_quietly(self, method: str, **arguments: Any) -> None:
        """Call a method and only log it if it fails."""
        try:
            await self.call(method, object, **arguments)
        except TelegramError as exc:
            _log.debug("telegram: %s", exc.message)

    async def download_picture(self, sizes: Sequence[PhotoSize]) -> Attachment:
        """Download a picture in its largest size that fits; a size without a byte count is tried last.

        Raises TelegramError with the HTTP statuses 413 (too large) and 415 (not a picture), too.
        """
        fitting = [size for size in sizes if size.file_size <= MAX_IMAGE_BYTES]
        if not fitting:
            raise TelegramError("picture", "every size is too large", 413)
        largest = max(fitting, key=lambda size: size.file_size)
        content = await self._download(largest.file_id)
        media_type = image_type(content)
        if media_type is None:
            raise TelegramError("picture", "it is not a JPEG, PNG, GIF or WebP", 415)
        return Attachment("image", media_type, content)

    async def _download(self, file_id: str) -> bytes:
        """Return a file's content. Raises TelegramError, also if it is larger than MAX_IMAGE_BYTES."""
        try:
            async with asyncio.timeout(FILE_S):
                file = await self.call("getFile", _File, file_id=file_id)
                url = f"{self._files}/{file.file_path.lstrip('/')}"
                status, content = await self._fetch("download", "GET", url, ANSWER_S)
        except TimeoutError:
            raise TelegramError("getFile", f"no answer within {FILE_S:g} s") from None
        if status != 200:
            raise TelegramError("download", "the file does not exist", status)
        if len(content) > MAX_IMAGE_BYTES:
            raise TelegramError("download", f"the file has more than {MAX_IMAGE_BYTES:,} bytes", 413)
        return content

    async def _fetch(self, what: str, verb: str, url: str, answer_s: float, **body: Any) -> tuple[int, bytes]:
        """Send a request and return the answer's status and content. Raises TelegramError named `what`."""
        import httpx2

        from microclaw.agent.models.bounded_http import AnswerTooLarge

        timeout = httpx2.Timeout(answer_s, connect=CONNECT_S)
        try:
            response = await self._client.request(verb, url, timeout=timeout, **body)
        except (httpx2.HTTPError, httpx2.InvalidURL) as exc:
            # `from None`, because the library's error holds the request and with it the token.
            if error_below(exc, AnswerTooLarge) is not None:
                raise TelegramError(what, f"the answer has more than {MAX_ANSWER_BYTES:,} bytes", 413) from None
            refusal = error_below(exc, ConfigError)
            why = type(exc).__name__ if refusal is None else refusal.message
            raise TelegramError(what, why) from None
        return response.status_code, response.content


def _parse_result(method: str, kind: type[T], status: int, answer: bytes) -> T:
    """Return the result in an answer of the Bot API. Raises TelegramError if it has none."""
    try:
        reply = convert(json.loads(answer), _Reply)
        # An edit whose answer was lost is sent again, and then changes nothing.
        if reply.ok or "message is not modified" in reply.description:
            return convert(reply.result, kind)
    except (ValueError, RecursionError):
        reply = _Reply(ok=False)
    if not reply.error_code:
        raise TelegramError(method, f"the answer with status {status} is not from the Bot API")
    raise TelegramError(
        method,
        reply.description[:300],
        reply.error_code,
        retry_after_s=reply.parameters.retry_after,
        migrated_to=reply.parameters.migrate_to_chat_id,
    )


def _name_pattern(me: User) -> re.Pattern[str]:
    """Return a pattern for the bot's @name that does not match the start of a longer name."""
    return re.compile(rf"@{re.escape(me.username)}(?!\w)", re.IGNORECASE)
