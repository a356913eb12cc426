"""Markdown as Telegram's HTML, and texts in pieces that fit into its messages. No IO."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from microclaw.text import clean_text

LIMIT: Final = 4096  # UTF-16 code units of a message, without its tags
_BLOCK: Final = re.compile(
    r"^ {0,3}(?P<ticks>```+) *(?P<language>[\w+#.-]{0,32})[^`\n]*$(?:\n(?P<code>(?s:.*?)))??(?:\n *(?P=ticks) *$|\Z)"
    r"|(?P<table>^ {0,3}\|.*\| *$(?:\n {0,3}\|.*\| *$)*)"
    r"|(?P<quote>^ {0,3}>.*$(?:\n {0,3}>.*$)*)",
    re.MULTILINE,
)
_HEADING: Final = re.compile(r" {0,3}#{1,6} +(.*?)(?: +#+)? *")
_BULLET: Final = re.compile(r"^( *)[-*+] +(?=\S)")
_QUOTE_MARK: Final = re.compile(r"^ {0,3}> ?", re.MULTILINE)
_TABLE_RULE: Final = re.compile(r"^ {0,3}\|[ :|-]+\| *\n?", re.MULTILINE)
_SPAN: Final = re.compile(
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
_FENCE_LINE: Final = re.compile(r"^ {0,3}```+([^`\n]*)$", re.MULTILINE)
_MAX_INFO: Final = 32  # a longer word after ``` is no language and is not repeated
_CLOSING: Final = "\n```"
_BORDERS: Final = tuple(map(re.compile, (r"(?=\n\n)", r"(?=\n)", r"(?= )")))

escape = partial(html.escape, quote=False)


def telegram_html(markdown: str) -> str:
    """Balanced tags, every other `<`, `>` and `&` escaped, no character that Telegram refuses."""
    return _replace(_BLOCK, clean_text(markdown), _block, lambda text: "\n".join(map(_line, text.split("\n"))))


def units(text: str) -> int:
    """The number of UTF-16 code units of `text`."""
    return len(text.encode("utf-16-le", "replace")) // 2


def split(text: str, limit: int = LIMIT) -> list[str]:
    """`text` in pieces of at most `limit` units (at least 200), none of them blank; only white space is lost.

    A code block that is cut is closed, and opened again in the next piece.
    """
    pieces: list[str] = []
    rest = text.strip("\n").rstrip()
    while units(rest) > limit:
        room = rest[:limit].encode("utf-16-le", "replace")[: 2 * (limit - units(_CLOSING))]
        cut = _border(rest, len(room.decode("utf-16-le", "ignore")))
        piece, rest = rest[:cut].rstrip(), rest[cut:]
        if (opened := open_fence(piece)) is not None:
            piece += _CLOSING
            rest = f"{opened}\n{rest.removeprefix(chr(10))}"
        else:
            rest = rest.lstrip("\n") if rest.startswith("\n") else rest.removeprefix(" ")
        pieces.append(piece)
    return [piece for piece in (*pieces, rest) if piece.strip()]


def open_fence(text: str) -> str | None:
    """The line that opens the code block `text` ends in, short enough to be repeated; None outside of one."""
    opened: str | None = None
    for found in _FENCE_LINE.finditer(text):
        info = found[1].strip()
        if opened is None:
            opened = f"```{info if len(info) <= _MAX_INFO else ''}"
        elif not info:
            opened = None
    return opened


def _replace(
    pattern: re.Pattern[str], text: str, matched: Callable[[re.Match[str]], str], between: Callable[[str], str]
) -> str:
    """The text with its matches and what stands between them made into something else."""
    parts: list[str] = []
    at = 0
    for found in pattern.finditer(text):
        parts += between(text[at : found.start()]), matched(found)
        at = found.end()
    return "".join([*parts, between(text[at:])])


def _block(found: re.Match[str]) -> str:
    if found["ticks"]:
        code, language = escape(found["code"] or ""), escape(found["language"])
        tagged = f'<code class="language-{language}">{code}</code>' if language else code
        return f"<pre>{tagged}</pre>" if code.strip() else ""
    if table := found["table"]:
        return f"<pre>{escape(_TABLE_RULE.sub('', table).rstrip() or table)}</pre>"
    quoted = "\n".join(map(_spans, _QUOTE_MARK.sub("", found["quote"]).split("\n")))
    return f"<blockquote>{quoted}</blockquote>" if quoted.strip() else escape(found["quote"])


def _line(line: str) -> str:
    if (heading := _HEADING.fullmatch(line)) and heading[1].strip():
        return f"<b>{_spans(heading[1], 'b')}</b>"
    return _spans(_BULLET.sub(r"\1• ", line))


def _spans(text: str, *outer: str) -> str:
    """`text` with its spans as tags; a tag is not repeated inside itself, so this ends."""
    return _replace(_SPAN, text, lambda found: _span(found, outer), escape)


def _span(found: re.Match[str], outer: tuple[str, ...]) -> str:
    kind = found.lastgroup or ""
    if kind == "escaped":
        return escape(found[0][1:])
    if kind == "code":
        return f"<code>{escape(found['code'])}</code>" if found["code"].strip() else escape(found[0])
    tag = _TAGS[kind]
    inner = _spans(found["label" if kind == "url" else kind], *outer, tag)
    opening = f'a href="{escape(found["url"])}"' if kind == "url" else tag
    return inner if tag in outer else f"<{opening}>{inner}</{tag}>"


def _border(text: str, room: int) -> int:
    """The place to cut within the first `room` characters: paragraph, line, word, and then anywhere.

    A border in the first third is left for a weaker one behind it: pieces should not become crumbs.
    """
    for border in _BORDERS:
        places = [found.end() for found in border.finditer(text, max(1, room // 3), room + 1)]
        if places:
            return min(places[-1], room)
    return room
