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

import msgspec
from msgspec import Struct

from microclaw.backoff import Backoff
from microclaw.config.settings import TelegramSettings
from microclaw.errors import ConfigError, MicroclawError, error_below
from microclaw.events import Attachment, image_type
from microclaw.text import encodable

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")
_log = logging.getLogger(__name__)
CONNECT_S: Final = 10.0
ANSWER_S: Final = 20.0  # beyond what a long poll waits
FILE_S: Final = 60.0
MAX_ANSWER_BYTES: Final = 8 << 20
MAX_RETRY_AFTER_S: Final = 300.0
_CHAT_ID: Final = re.compile(r"(-?[0-9]{1,20})(?:\.([0-9]{1,20}))?")
MAX_IMAGE_BYTES: Final = 4 << 20  # models take at most 5 MB a picture


class Timing(Struct, frozen=True):
    """`poll_s`: how long Telegram holds a poll open; `first_s`: a turn that ends sooner shows no "typing"."""

    poll_s: float = 50.0
    first_s: float = 0.7
    backoff_s: float = 1.0
    unknown_sender_s: float = 60.0  # an unknown sender is answered at most this often

    def backoff(self) -> Backoff:
        return Backoff(random.random, min_s=self.backoff_s / 2, max_s=60 * self.backoff_s)


class TelegramError(MicroclawError, code="telegram_error"):
    """A call failed. `status` is Telegram's error_code; 0: no answer of Telegram's came, nobody knows what was done.

    `migrated_to` is a group's new chat id.
    """

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
    """The place of a message: a chat, the topic in a forum, and the message that it answers."""

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
        """Read a conversation's name; None if it is none of Telegram's."""
        name = _CHAT_ID.fullmatch(chat_id)
        if name is None:
            return None
        if name[2] is None:
            topic = None
        else:
            topic = int(name[2])
        if reply_to is None:
            message_id = None
        else:
            message_id = int(reply_to)
        return cls(int(name[1]), topic, message_id)


class PhotoSize(Struct, frozen=True):
    """One size of a picture; `file_size` in bytes, 0 where Telegram does not say."""

    file_id: str
    file_size: int = 0


class _Other(Struct, frozen=True, rename={"sender": "from"}):
    """The message that is answered, or that has the button; Telegram may leave out who sent it, or all of it."""

    chat: Chat = Chat(0, "")
    sender: User | None = None


class Message(Struct, frozen=True, rename={"sender": "from"}):
    """A person's message, or another bot's. `caption` belongs to a picture or to a file of another kind.
    `date` is when it was sent, in Unix time; 0 where Telegram does not say. `message_thread_id` is a forum's topic if
    `is_topic_message`, else only a thread of replies.
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
    reply_to_message: _Other = _Other()
    forward_origin: Any = None
    forward_date: Any = None  # before Bot API 7.0

    @property
    def is_forwarded(self) -> bool:
        """The words are somebody else's."""
        return self.forward_origin is not None or self.forward_date is not None

    @property
    def address(self) -> Address:
        """The place of its answer; in a group it points to the message, as others speak there, too."""
        topic = self.message_thread_id if self.is_topic_message else None
        reply_to = None if self.chat.type == "private" else self.message_id
        return Address(self.chat.id, topic, reply_to)

    def words(self, me: User) -> str:
        """The text without the bot's @name; empty for what is neither text nor a picture with a caption."""
        said = self.text or (self.caption if self.photo else "")
        return encodable(_name(me).sub("", said)).strip()

    def is_for(self, me: User) -> bool:
        """True if it is meant for the bot: private, or in a group named, answered, or a command for it."""
        replied = self.reply_to_message.sender
        named = _name(me).search(self.text or self.caption) is not None
        return self.chat.type == "private" or named or (replied is not None and replied.id == me.id)


class ButtonPress(Struct, frozen=True, rename={"sender": "from", "query_id": "id"}):
    query_id: str
    sender: User
    message: _Other = _Other()
    data: str = ""


class Update(Struct, frozen=True):
    update_id: int
    message: Message | None = None
    callback_query: ButtonPress | None = None


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
        from microclaw.models.bounded_http import bounded_client

        for name in ("httpx2", "httpcore2"):
            logging.getLogger(name).setLevel(logging.WARNING)  # they log addresses, with the token
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
        """The call's result, which is a `kind`. Arguments that are None are left out; `wait_s` is how long Telegram may
        hold it open; `files` have a name, content and media type each. Raises TelegramError.
        """
        given = {name: value for name, value in arguments.items() if value is not None}
        if files is None:
            body: dict[str, Any] = {"json": given}
        else:
            body = {"data": given, "files": files}
        url = f"{self._calls}/{method}"
        answer_s = ANSWER_S if files is None else FILE_S
        status, answer = await self._fetch(method, "POST", url, answer_s + wait_s, **body)
        try:
            reply = msgspec.convert(json.loads(answer), _Reply)
            if reply.ok or "message is not modified" in reply.description:  # an edit whose answer was lost
                return msgspec.convert(reply.result, kind)
        except (ValueError, RecursionError):
            reply = _Reply(ok=False)
        if not reply.error_code:
            raise TelegramError(method, f"an answer with status {status} that is not the Bot API's")
        more = reply.parameters
        why = reply.description[:300]
        wait_s = more.retry_after
        new_id = more.migrate_to_chat_id
        raise TelegramError(method, why, reply.error_code, retry_after_s=wait_s, migrated_to=new_id)

    async def attempt(self, method: str, **arguments: Any) -> None:
        """A call that may fail."""
        try:
            await self.call(method, object, **arguments)
        except TelegramError as exc:
            _log.debug("telegram: %s", exc.message)

    async def picture(self, sizes: Sequence[PhotoSize]) -> Attachment:
        """A picture in its largest size that fits; one whose size Telegram does not say is tried last."""
        size = max(
            (one for one in sizes if one.file_size <= MAX_IMAGE_BYTES), key=lambda one: one.file_size, default=None
        )
        if size is None:
            raise TelegramError("picture", "every size of it is too large", 413)
        try:
            async with asyncio.timeout(FILE_S):
                path = (await self.call("getFile", _File, file_id=size.file_id)).file_path
                url = f"{self._files}/{path.lstrip('/')}"
                status, data = await self._fetch("download", "GET", url, ANSWER_S)
        except TimeoutError:
            raise TelegramError("getFile", f"it did not come within {FILE_S:g} s") from None
        if status != 200:
            raise TelegramError("download", "the file is not there", status)
        if len(data) > MAX_IMAGE_BYTES:
            raise TelegramError("download", f"more than {MAX_IMAGE_BYTES:,} bytes came", 413)
        kind = image_type(data)
        if kind is None:
            raise TelegramError("picture", "it is no JPEG, PNG, GIF or WebP", 415)
        return Attachment("image", kind, data)

    async def _fetch(self, what: str, verb: str, url: str, answer_s: float, **body: Any) -> tuple[int, bytes]:
        import httpx2

        from microclaw.models.bounded_http import AnswerTooLarge

        timeout = httpx2.Timeout(answer_s, connect=CONNECT_S)
        try:
            response = await self._client.request(verb, url, timeout=timeout, **body)
        except (httpx2.HTTPError, httpx2.InvalidURL) as exc:
            # `from None`: the library's error holds the request and with it the token
            if error_below(exc, AnswerTooLarge) is not None:
                raise TelegramError(what, f"more than {MAX_ANSWER_BYTES:,} bytes came", 413) from None
            refusal = error_below(exc, ConfigError)
            why = type(exc).__name__ if refusal is None else refusal.message
            raise TelegramError(what, why) from None
        return response.status_code, response.content


def _name(me: User) -> re.Pattern[str]:
    return re.compile(rf"@{re.escape(me.username)}(?!\w)", re.IGNORECASE)
