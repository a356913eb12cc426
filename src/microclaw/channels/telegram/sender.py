"""Sends messages within Telegram's limits, as HTML or else as plain text. It decides nothing about turns."""

from __future__ import annotations

import asyncio
import html
import logging
import re
import unicodedata
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import takewhile
from typing import Any, Final, ParamSpec, TypeAlias, TypeVar

from msgspec import Struct

from microclaw.channels.delivery import ReadFile
from microclaw.channels.telegram.api import BotApi, TelegramError, Timing
from microclaw.errors import MicroclawError
from microclaw.events import ResultFile
from microclaw.text import clean_text

_FENCE: Final = re.compile(r" {0,3}(```+) *([\w+#.-]{0,32}) *[^`]*")
_HEADING: Final = re.compile(r" {0,3}#{1,6} +(.*?)(?: +#+)? *")
_BULLET: Final = re.compile(r"^( *)[-*+] +(?=\S)")
_QUOTE: Final = re.compile(r" {0,3}> ?(.*)")
_TABLE: Final = re.compile(r" {0,3}\|.*\| *")
_RULE: Final = re.compile(r"\|[ :|-]+\|")
_INLINE: Final = re.compile(
    r"(?P<escaped>\\[\\`*_~\[\]()#+.!|>-])"
    r"|(?P<ticks>`{1,3})(?!`)(?P<code>[^`]{1,2000})(?P=ticks)(?!`)"
    r"|\[(?P<label>[^\[\]]{1,500})\]\((?P<url>https?://[^\s()<>\"]{1,1000})\)"
    r"|(?<!\*)\*\*(?![\s*])(?P<bold>[^*]{0,1000}[^\s*])\*\*(?!\*)"
    r"|(?<![\w_])__(?![\s_])(?P<bold2>[^_]{0,1000}[^\s_])__(?![\w_])"
    r"|(?<!~)~~(?![\s~])(?P<strike>[^~]{0,1000}[^\s~])~~(?!~)"
    r"|(?<![\w*])\*(?![\s*])(?P<italic>[^*]{0,1000}[^\s*])\*(?![\w*])"
    r"|(?<![\w_])_(?![\s_])(?P<italic2>[^_]{0,1000}[^\s_])_(?![\w_])"
)
_TAGS: Final[Mapping[str, str]] = {"bold": "b", "bold2": "b", "strike": "s", "italic": "i", "italic2": "i", "url": "a"}
escape = partial(html.escape, quote=False)


def telegram_html(markdown: str) -> str:
    """Balanced tags, every other `<`, `>` and `&` escaped, no character that Telegram refuses."""
    return "\n".join(_blocks(deque(clean_text(markdown).split("\n"))))


def _blocks(lines: deque[str]) -> Iterator[str]:
    while lines:
        line = lines.popleft()
        if fence := _FENCE.fullmatch(line):
            code = _taken(lines, re.compile(rf"(?!\s*{fence[1]}\s*$)").match)
            if lines:
                lines.popleft()  # the closing line
            if any(each.strip() for each in code):
                yield _code_block(code, fence[2])
        elif _TABLE.fullmatch(line):
            rows = [line, *_taken(lines, _TABLE.fullmatch)]
            yield _code_block([row for row in rows if not _RULE.fullmatch(row.strip())] or rows, "")
        elif _QUOTE.fullmatch(line):
            quoted = [line, *_taken(lines, _QUOTE.fullmatch)]
            inner = "\n".join(_inline(_QUOTE.sub(r"\1", each, count=1)) for each in quoted)
            yield f"<blockquote>{inner}</blockquote>" if inner.strip() else escape("\n".join(quoted))
        elif (heading := _HEADING.fullmatch(line)) and heading[1].strip():
            yield f"<b>{_inline(heading[1], 'b')}</b>"
        else:
            yield _inline(_BULLET.sub(r"\1• ", line))


def _taken(lines: deque[str], wanted: Callable[[str], object]) -> list[str]:
    """The lines up to the first one that is not wanted, taken out."""
    found = list(takewhile(wanted, lines))
    for _ in found:
        lines.popleft()
    return found


def _code_block(code: list[str], language: str) -> str:
    body = escape("\n".join(code))
    return f'<pre><code class="language-{escape(language)}">{body}</code></pre>' if language else f"<pre>{body}</pre>"


def _inline(text: str, *outer: str) -> str:
    """`text` with its spans as tags; a tag is not repeated inside itself, so this ends."""
    parts: list[str] = []
    at = 0
    for found in _INLINE.finditer(text):
        parts += escape(text[at : found.start()]), _span(found, outer)
        at = found.end()
    return "".join([*parts, escape(text[at:])])


def _span(found: re.Match[str], outer: tuple[str, ...]) -> str:
    kind = found.lastgroup or ""
    if kind == "escaped":
        return escape(found[0][1:])
    if kind == "code":
        return f"<code>{escape(found['code'])}</code>" if found["code"].strip() else escape(found[0])
    tag = _TAGS[kind]
    inner = _inline(found["label" if kind == "url" else kind], *outer, tag)
    opening = f'a href="{escape(found["url"])}"' if kind == "url" else tag
    return inner if tag in outer else f"<{opening}>{inner}</{tag}>"


LIMIT: Final = 4096
_FENCE_LINE: Final = re.compile(r"^ {0,3}(```+)([^`\n]*)$", re.MULTILINE)
_CLOSING: Final = "\n```"
_MAX_INFO: Final = 32  # a longer word after ``` is no language and is not repeated
_BORDERS: Final = tuple(map(re.compile, (r"(?=\n\n)", r"(?=\n)", r"[.!?…。！？][)\"'”’]*\s", r"(?= )")))
_JOINER, _VARIATION = "\u200d", "\ufe0f"


def units(text: str) -> int:
    """The number of UTF-16 code units of `text`."""
    return len(text.encode("utf-16-le", "replace")) // 2


def split(text: str, limit: int = LIMIT) -> list[str]:
    """`text` in pieces of at most `limit` units (at least 200), none of them blank; only white space is lost."""
    pieces: list[str] = []
    rest = text.strip("\n").rstrip()
    while units(rest) > limit:
        room = rest[:limit].encode("utf-16-le", "replace")[: 2 * (limit - units(_CLOSING))]
        cut = _border(rest, len(room.decode("utf-16-le", "ignore")))
        piece, after = rest[:cut].rstrip(), rest[cut:]
        opened = open_fence(piece)
        if opened is None:
            rest = after.lstrip("\n") if after.startswith("\n") else after.removeprefix(" ")
        else:
            piece += _CLOSING
            rest = f"{opened}\n{after.removeprefix(chr(10))}"
        if piece.strip():
            pieces.append(piece)
    if rest.strip():
        pieces.append(rest)
    return pieces


def open_fence(text: str) -> str | None:
    """The line that opens the code block `text` ends in, short enough to be repeated; None outside of one."""
    opened: str | None = None
    for found in _FENCE_LINE.finditer(text):
        info = found[2].strip()
        if opened is None:
            opened = f"```{info if len(info) <= _MAX_INFO else ''}"
        elif not info:
            opened = None
    return opened


def _border(text: str, room: int) -> int:
    """The place to cut within the first `room` characters: paragraph, line, sentence, word, and then anywhere.

    A border in the first third is left for a weaker one behind it: pieces should not become crumbs.
    """
    for border in _BORDERS:
        places = [found.end() for found in border.finditer(text, max(1, room // 3), room + 1)]
        for at in reversed(places):
            if at <= room and not _is_fence_line(text, at):
                return at
    return _whole_letter(text, room)


def _is_fence_line(text: str, at: int) -> bool:
    """True if the line that ends at `at` opens a code block: it would be left alone at a message's end."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return _FENCE_LINE.fullmatch(line) is not None and open_fence(text[:at]) is not None


def _whole_letter(text: str, at: int) -> int:
    """`at`, or a little before it where it would cut a letter from its accents or a joined emoji."""
    for earlier in range(at, max(1, at - 12), -1):
        c, before = text[earlier], text[earlier - 1]
        if not (unicodedata.combining(c) or c in (_JOINER, _VARIATION) or before == _JOINER):
            return earlier
    return at


_log = logging.getLogger(__name__)

Buttons: TypeAlias = Sequence[tuple[str, str]]  # label, callback data (at most 64 bytes)
P = ParamSpec("P")
T = TypeVar("T")
MAX_MIGRATIONS: Final = 1024
_PHOTOS: Final = frozenset({"image/png", "image/jpeg", "image/webp"})


class _Sent(Struct, frozen=True):
    message_id: int


class Sender:
    def __init__(self, api: BotApi, timing: Timing) -> None:
        self._api = api
        self._timing = timing
        self._migrated: dict[int, int] = {}

    async def send(self, chat_id: int, markdown: str, buttons: Buttons = ()) -> int:
        """The new message's id. `markdown` fits into one message (`split`)."""
        return (await self._write("sendMessage", chat_id, _Sent, markdown, buttons)).message_id

    async def edit(self, chat_id: int, message_id: int, markdown: str, buttons: Buttons = ()) -> None:
        try:
            await self._write("editMessageText", chat_id, object, markdown, buttons, message_id=message_id)
        except TelegramError as exc:
            if "message is not modified" not in exc.why:
                raise

    async def delete(self, chat_id: int, message_id: int) -> None:
        await self._call("deleteMessage", chat_id, object, message_id=message_id)

    async def typing(self, chat_id: int) -> None:
        """Show "typing". A failure is ignored."""
        try:
            await self._call("sendChatAction", chat_id, object, action="typing")
        except TelegramError as exc:
            _log.debug("telegram: %s", exc.message)

    async def send_all(self, chat_id: int, markdown: str) -> None:
        """A whole text in as many messages as it needs; returns when Telegram has taken all of them."""
        for piece in split(markdown):
            await self.insist(self.send, chat_id, piece)

    async def send_files(self, chat_id: int, files: Sequence[ResultFile], read: ReadFile) -> None:
        """Files of an answer: pictures as photos, others as documents; returns when Telegram has taken all of them."""
        for file in files:
            name = clean_text(file.name.rpartition("/")[2], one_line=True, limit=100)
            try:
                content = await read(file)
            except MicroclawError as exc:
                _log.info("telegram: a file is not sent: %s", exc.message)
                await self.send_all(chat_id, f"The file {name} is no longer there.")
            else:
                await self.insist(self._send_file, chat_id, (name, content, file.media_type))

    async def _send_file(self, chat_id: int, file: tuple[str, bytes, str]) -> None:
        if file[2] in _PHOTOS:
            try:
                await self._call("sendPhoto", chat_id, object, files={"photo": file})
            except TelegramError as exc:
                if exc.status != 400:
                    raise
                _log.info("telegram: %s; the picture goes as a document", exc.message)  # too wide, too many pixels
            else:
                return
        await self._call("sendDocument", chat_id, object, files={"document": file})

    async def insist(self, act: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Try until Telegram accepts it. Raises TelegramError for a refusal that will not change."""
        backoff = self._timing.backoff()
        while True:
            try:
                return await act(*args, **kwargs)
            except TelegramError as exc:
                if not exc.will_pass:
                    raise
                _log.info("telegram: %s; trying again", exc.message)
                await asyncio.sleep(exc.retry_after_s if exc.status == 429 else backoff.next_wait_s())

    async def _write(
        self, method: str, chat_id: int, kind: type[T], markdown: str, buttons: Buttons, **more: object
    ) -> T:
        """A text with markup, or without where Telegram refuses the markup."""
        keys = [{"text": label, "callback_data": data} for label, data in buttons]
        more |= {"link_preview_options": {"is_disabled": True}}
        more |= {"reply_markup": {"inline_keyboard": [keys]} if keys else None}
        try:
            return await self._call(method, chat_id, kind, text=telegram_html(markdown), parse_mode="HTML", **more)
        except TelegramError as exc:
            if exc.status != 400 or "can't parse entities" not in exc.why:
                raise
            _log.warning("telegram: markup was refused, the text goes without it")
            return await self._call(method, chat_id, kind, text=clean_text(markdown), **more)

    async def _call(self, method: str, chat_id: int, kind: type[T], **more: Any) -> T:
        """A call of a chat: of its new id where a group became a supergroup."""
        try:
            return await self._api.call(method, kind, chat_id=self._migrated.get(chat_id, chat_id), **more)
        except TelegramError as exc:
            if exc.migrated_to is None or len(self._migrated) >= MAX_MIGRATIONS:
                raise
            self._migrated[chat_id] = exc.migrated_to
            return await self._api.call(method, kind, chat_id=exc.migrated_to, **more)
