"""Sends messages within Telegram's limits, as HTML or else as plain text. It decides nothing about turns."""

from __future__ import annotations

import asyncio
import logging
import re
import unicodedata
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

from microclaw.channels.delivery import ReadFile
from microclaw.channels.telegram.api import BotApi, TelegramError, TelegramUnreachable, Timing
from microclaw.errors import MicroclawError
from microclaw.events import ResultFile
from microclaw.text import clean_text

_FENCE: Final = re.compile(r" {0,3}(```+) *([\w+#.-]{0,32}) *[^`]*")
_HEADING: Final = re.compile(r" {0,3}#{1,6} +(.*?)(?: +#+)? *")
_BULLET: Final = re.compile(r"( *)[-*+] +(?=\S)")
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
_TAGS: Final[Mapping[str, str]] = {"bold": "b", "bold2": "b", "strike": "s", "italic": "i", "italic2": "i"}


def telegram_html(markdown: str) -> str:
    """Balanced tags, every other `<`, `>`, `&` and `"` escaped, no character that Telegram refuses."""
    return "\n".join(_blocks(clean_text(markdown).split("\n")))


def escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def _blocks(lines: list[str]) -> Iterator[str]:
    at = 0
    while at < len(lines):
        line = lines[at]
        if fence := _FENCE.fullmatch(line):
            at, code = _until(lines, at + 1, partial(_closes, fence[1]))
            at += 1  # the closing line
            if any(each.strip() for each in code):
                yield _code_block(code, fence[2])
        elif _TABLE.fullmatch(line):
            at, rows = _until(lines, at, lambda each: not _TABLE.fullmatch(each))
            yield _code_block([row for row in rows if not _RULE.fullmatch(row.strip())] or rows, "")
        elif _QUOTE.fullmatch(line):
            at, quoted = _until(lines, at, lambda each: not _QUOTE.fullmatch(each))
            inner = "\n".join(_inline(_QUOTE.sub(r"\1", each, count=1), frozenset()) for each in quoted)
            yield f"<blockquote>{inner}</blockquote>" if inner.strip() else escape("\n".join(quoted))
        else:
            yield _line(line)
            at += 1


def _closes(ticks: str, line: str) -> bool:
    return line.strip() == ticks


def _until(lines: list[str], start: int, ends: Callable[[str], bool]) -> tuple[int, list[str]]:
    """The lines from `start` to the first one that `ends`, or to the last one, and where that is."""
    stop = next((index for index in range(start, len(lines)) if ends(lines[index])), len(lines))
    return stop, lines[start:stop]


def _code_block(code: list[str], language: str) -> str:
    body = escape("\n".join(code))
    return f'<pre><code class="language-{escape(language)}">{body}</code></pre>' if language else f"<pre>{body}</pre>"


def _line(line: str) -> str:
    if (heading := _HEADING.fullmatch(line)) and heading[1].strip():
        return f"<b>{_inline(heading[1], frozenset({'b'}))}</b>"
    if bullet := _BULLET.match(line):
        return f"{bullet[1]}• {_inline(line[bullet.end() :], frozenset())}"
    return _inline(line, frozenset())


def _inline(text: str, outer: frozenset[str]) -> str:
    """`text` with its spans as tags; a tag is not repeated inside itself, so this ends."""
    parts: list[str] = []
    at = 0
    for found in _INLINE.finditer(text):
        parts += escape(text[at : found.start()]), _span(found, outer)
        at = found.end()
    parts.append(escape(text[at:]))
    return "".join(parts)


def _span(found: re.Match[str], outer: frozenset[str]) -> str:
    kind = found.lastgroup
    if kind == "escaped":
        return escape(found[0][1:])
    if kind == "code":
        return f"<code>{escape(found['code'])}</code>" if found["code"].strip() else escape(found[0])
    if kind == "url":
        label = _inline(found["label"], outer | {"a"})
        return label if "a" in outer else f'<a href="{escape(found["url"])}">{label}</a>'
    assert kind is not None
    tag = _TAGS[kind]
    inner = _inline(found[kind], outer | {tag})
    return inner if tag in outer else f"<{tag}>{inner}</{tag}>"


LIMIT: Final = 4096
_FENCE_LINE: Final = re.compile(r"^ {0,3}(```+)([^`\n]*)$", re.MULTILINE)
_CLOSING: Final = "\n```"
_MAX_INFO: Final = 32  # a longer word after ``` is no language and is not repeated
_SENTENCE: Final = re.compile(r"[.!?…。！？][)\"'”’]*\s")
_JOINER, _VARIATION = "\u200d", "\ufe0f"


def units(text: str) -> int:
    """How many UTF-16 code units `text` has."""
    return len(text) + sum(1 for c in text if c > "\uffff")


def split(text: str, limit: int = LIMIT) -> list[str]:
    """`text` in pieces of at most `limit` units (at least 200), none of them blank; only white space is lost."""
    pieces: list[str] = []
    rest = text.strip("\n").rstrip()
    while len(rest) > limit or units(rest) > limit:  # the first is quick, and enough for a long text
        room = _prefix(rest, limit - units(_CLOSING))
        cut = _border(rest, room)
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


def _prefix(text: str, limit: int) -> int:
    """How many characters of `text` fit into `limit` units."""
    fits = 0
    for index, c in enumerate(text):
        fits += 2 if c > "\uffff" else 1
        if fits > limit:
            return index
    return len(text)


def _border(text: str, room: int) -> int:
    """Where to cut within the first `room` characters: paragraph, line, sentence, word, and then anywhere.

    A border in the first third is left for a weaker one behind it: pieces should not become crumbs.
    """
    least = room // 3
    window = text[: room + 1]
    for border in ("\n\n", "\n"):
        at = window.rfind(border, least)
        if at > 0 and not _is_fence_line(text, at):
            return at
    sentences = [found.end() for found in _SENTENCE.finditer(window, least, room)]
    if sentences:
        return sentences[-1]
    at = window.rfind(" ", least)
    if at > 0:
        return at
    return _whole_letter(text, room)


def _is_fence_line(text: str, at: int) -> bool:
    """Whether the line that ends at `at` opens a code block: it would be left alone at a message's end."""
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
T = TypeVar("T")
MAX_MIGRATIONS: Final = 1024
_PHOTOS: Final = frozenset({"image/png", "image/jpeg", "image/webp"})


class ChatGone(MicroclawError):
    """The bot cannot write to this chat any more: it was blocked or removed, or the chat was deleted."""

    code = "chat_gone"


class Sender:
    def __init__(self, api: BotApi, timing: Timing) -> None:
        self._api = api
        self._timing = timing
        self._migrated: dict[int, int] = {}

    async def send(self, chat_id: int, markdown: str, buttons: Buttons | None = None) -> int:
        """The new message's id. `markdown` fits into one message (`split`)."""
        sent = await self._with_markup("sendMessage", chat_id, markdown, reply_markup=_keyboard(buttons))
        message_id = sent.get("message_id") if isinstance(sent, dict) else None
        if not isinstance(message_id, int):
            raise TelegramUnreachable("sendMessage: the answer names no message")
        return message_id

    async def edit(self, chat_id: int, message_id: int, markdown: str, buttons: Buttons | None = None) -> None:
        try:
            await self._with_markup(
                "editMessageText", chat_id, markdown, message_id=message_id, reply_markup=_keyboard(buttons)
            )
        except TelegramError as exc:
            if "message is not modified" not in exc.description:
                raise

    async def delete(self, chat_id: int, message_id: int) -> None:
        await self._api.call("deleteMessage", chat_id=self._current_id(chat_id), message_id=message_id)

    async def typing(self, chat_id: int) -> None:
        """Show "typing". A failure is ignored."""
        try:
            await self._api.call("sendChatAction", chat_id=self._current_id(chat_id), action="typing")
        except (TelegramError, TelegramUnreachable) as exc:
            _log.debug("telegram: %s", exc.message)

    async def send_all(self, chat_id: int, markdown: str) -> None:
        """A whole text in as many messages as it needs; returns when Telegram has taken all of them."""
        for piece in split(markdown):
            await self.insist(lambda piece=piece: self.send(chat_id, piece))  # type: ignore[misc]

    async def send_files(self, chat_id: int, files: Sequence[ResultFile], read: ReadFile) -> None:
        """Files of an answer: pictures as photos, others as documents; returns when Telegram has taken all of them."""
        for file in files:
            name = clean_text(file.name.rpartition("/")[2], one_line=True, limit=100)
            try:
                content = await read(file)
            except MicroclawError as exc:
                _log.info("telegram: a file is not sent: %s", exc.message)
                await self.send_all(chat_id, f"The file {name} is no longer there.")
                continue
            sent = (name, content, file.media_type)
            await self.insist(lambda sent=sent: self._send_file(chat_id, sent))  # type: ignore[misc]

    async def _send_file(self, chat_id: int, file: tuple[str, bytes, str]) -> None:
        if file[2] in _PHOTOS:
            try:
                await self._to_chat(
                    chat_id, lambda number: self._api.upload("sendPhoto", "photo", file, chat_id=number)
                )
            except TelegramError as exc:
                if exc.status != 400:
                    raise
                _log.info("telegram: %s; the picture goes as a document", exc.message)  # too wide, too many pixels
            else:
                return
        await self._to_chat(chat_id, lambda number: self._api.upload("sendDocument", "document", file, chat_id=number))

    async def insist(self, act: Callable[[], Awaitable[T]]) -> T:
        """Try until Telegram accepts it. Raises ChatGone, and TelegramError for a refusal that will not change."""
        backoff = self._timing.backoff()
        while True:
            try:
                return await act()
            except TelegramUnreachable as exc:
                _log.info("telegram: %s; trying again", exc.message)
                await asyncio.sleep(backoff.next_wait_s())
            except TelegramError as exc:
                if exc.status == 429:
                    await asyncio.sleep(exc.retry_after_s)
                elif exc.status >= 500:
                    _log.info("telegram: %s; trying again", exc.message)
                    await asyncio.sleep(backoff.next_wait_s())
                else:
                    raise

    async def _with_markup(self, method: str, chat_id: int, markdown: str, **more: Any) -> Any:
        async def written(number: int, text: str, **mode: Any) -> Any:
            no_preview = {"is_disabled": True}
            return await self._api.call(
                method, chat_id=number, text=text, link_preview_options=no_preview, **mode, **more
            )

        try:
            return await self._to_chat(
                chat_id, lambda number: written(number, telegram_html(markdown), parse_mode="HTML")
            )
        except TelegramError as exc:
            if exc.status != 400 or "can't parse entities" not in exc.description:
                raise
            _log.warning("telegram: markup was refused, the text goes without it")
            return await self._to_chat(chat_id, lambda number: written(number, clean_text(markdown)))

    async def _to_chat(self, chat_id: int, call: Callable[[int], Awaitable[Any]]) -> Any:
        """`call` with the chat's current id, again where Telegram names a new one. Raises ChatGone."""
        try:
            return await call(self._current_id(chat_id))
        except TelegramError as exc:
            if exc.migrated_to is not None and len(self._migrated) < MAX_MIGRATIONS:
                self._migrated[chat_id] = exc.migrated_to
                return await call(exc.migrated_to)
            if exc.status == 403 or (exc.status == 400 and _is_gone(exc.description)):
                raise ChatGone(exc.message) from exc
            raise

    def _current_id(self, chat_id: int) -> int:
        """The chat's current id: a group that became a supergroup has a new one."""
        return self._migrated.get(chat_id, chat_id)


def _is_gone(description: str) -> bool:
    return any(words in description for words in ("chat not found", "PEER_ID_INVALID", "not enough rights to send"))


def _keyboard(buttons: Buttons | None) -> dict[str, object] | None:
    if buttons is None:
        return None
    return {"inline_keyboard": [[{"text": label, "callback_data": data} for label, data in buttons]]}
