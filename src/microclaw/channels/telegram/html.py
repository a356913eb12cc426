"""A model's Markdown as the HTML that Telegram takes: always valid, whatever the text is. It splits nothing.

Not a CommonMark parser: one would drop indentation, and read a pin's track (`___~~~`) or `-----` as markup. Only what
is surely meant as markup becomes a tag; everything else stays the text it was. Tags: Bot API, "HTML style".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final

from microclaw.channels.text import clean

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
    return "\n".join(_blocks(clean(markdown).split("\n")))


def plain(markdown: str) -> str:
    """The text for a message without markup, when Telegram refuses the other."""
    return clean(markdown)


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
