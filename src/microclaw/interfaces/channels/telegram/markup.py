"""Markdown as Telegram's HTML (code, tables, bold, links, lists), and texts in pieces that fit a message. No IO."""

from __future__ import annotations

import html
import re
from typing import Final

from microclaw.events import Answer
from microclaw.text import clean_text

# UTF-16 code units of a message. Telegram does not count its tags.
LIMIT: Final = 4096
_TABLE_RULE: Final = re.compile(r"^ {0,3}\|[ :|-]+\| *\n?", re.MULTILINE)
# Matches in text whose `<`, `>` and `&` are escaped already.
_MARKUP: Final = re.compile(
    r"^ {0,3}(?P<ticks>```+) *(?P<language>[\w+#.-]{0,32})[^`\n]*$(?:\n(?P<block>(?s:.*?)))??(?:\n *(?P=ticks) *$|\Z)"
    r"|(?P<table>^ {0,3}\|.*\| *$(?:\n {0,3}\|.*\| *$)*)"
    r"|^ {0,3}#{1,6} +(?=\S)(?P<heading>.*?)(?: +#+)? *$"
    r"|^(?P<indent> *)[-*+] +(?=\S)"
    r"|`(?=[^`\n]*[^`\s])(?P<code>[^`\n]+)`|\*\*(?P<bold>[^*`\s](?:[^*`\n]*[^*`\s])?)\*\*"
    r"|\[(?P<label>[^\[\]\n]{1,500})\]\((?P<url>https?://[^\s()<>\"]{1,1000})\)",
    re.MULTILINE,
)
_FENCE_LINE: Final = re.compile(r"^ {0,3}```+([^`\n]*)$", re.MULTILINE)
# A longer word after ``` is not a language and is not repeated.
_MAX_INFO: Final = 32
_CLOSING: Final = "\n```"
_BORDERS: Final = tuple(map(re.compile, (r"(?=\n\n)", r"(?=\n)", r"(?= )")))


def telegram_html(markdown: str) -> str:
    """Return Telegram's HTML for a Markdown text.

    Its tags are balanced, every other `<`, `>` and `&` is escaped, and it has no character that Telegram refuses.
    """
    return _MARKUP.sub(_convert_markup, html.escape(clean_text(markdown), quote=False))


def count_units(text: str) -> int:
    """Return the number of UTF-16 code units of `text`."""
    return len(text.encode("utf-16-le", "replace")) // 2


def split(text: str, limit: int = LIMIT) -> list[str]:
    """Split `text` into pieces of at most `limit` units (at least 200).

    No piece is blank, and only white space is lost. A code block that is cut is closed, and opened again in the next
    piece.
    """
    pieces: list[str] = []
    rest = text.strip("\n").rstrip()
    while count_units(rest) > limit:
        encoded = rest[:limit].encode("utf-16-le", "replace")[: 2 * (limit - count_units(_CLOSING))]
        cut = _find_cut(rest, len(encoded.decode("utf-16-le", "ignore")))
        piece = rest[:cut].rstrip()
        rest = rest[cut:]
        fence = open_fence(piece)
        if fence is not None:
            piece += _CLOSING
            rest = fence + "\n" + rest.removeprefix("\n")
        elif rest.startswith("\n"):
            rest = rest.lstrip("\n")
        else:
            rest = rest.removeprefix(" ")
        pieces.append(piece)
    pieces.append(rest)
    return [piece for piece in pieces if piece.strip()]


def open_fence(text: str) -> str | None:
    """Return the line that opens the code block at the end of `text`, short enough to be repeated.

    Returns None if `text` does not end inside a code block.
    """
    fence: str | None = None
    for match in _FENCE_LINE.finditer(text):
        info = match[1].strip()
        if fence is None:
            language = info if len(info) <= _MAX_INFO else ""
            fence = f"```{language}"
        elif not info:
            fence = None
    return fence


def answer_markdown(answer: Answer) -> str:
    """Return an answer with the evidence that its text does not contain yet, and with its next step."""
    parts = [answer.text.strip()]
    for evidence in answer.evidence:
        if evidence.text.lower() in answer.text.lower():
            continue
        if evidence.text.lower().startswith(evidence.kind):
            parts.append(evidence.text)
        else:
            parts.append(f"{evidence.kind}: {evidence.text}")
    step = answer.next_step
    if step and "`" in step:
        parts.append(step)
    elif step:
        parts.append(f"next: `{clean_text(step, one_line=True)}`")
    return "\n\n".join(part for part in parts if part)


def _convert_markup(match: re.Match[str]) -> str:
    """Return the HTML for one match of _MARKUP. The first group of it that matched decides."""
    if match["ticks"]:
        return _convert_code_block(match["block"] or "", match["language"])
    table = match["table"]
    if table:
        rows = _TABLE_RULE.sub("", table).rstrip()
        return f"<pre>{rows or table}</pre>"
    code = match["code"]
    if code:
        return f"<code>{code}</code>"
    label = match["label"]
    if label:
        return f'<a href="{match["url"]}">{label}</a>'
    if match["indent"] is not None:
        return f"{match['indent']}• "
    bold = match["bold"] or re.sub("[*`]", "", match["heading"])
    if bold.strip():
        return f"<b>{bold}</b>"
    return match[0]


def _convert_code_block(code: str, language: str) -> str:
    """Return the HTML for a code block. Telegram refuses empty tags, so a blank block is left out."""
    if not code.strip():
        return ""
    if language:
        return f'<pre><code class="language-{language}">{code}</code></pre>'
    return f"<pre>{code}</pre>"


def _find_cut(text: str, room: int) -> int:
    """Return the place to cut within the first `room` characters: paragraph, line, word, and then anywhere.

    A border in the first third is not used if a weaker one comes behind it: the pieces should not become tiny.
    """
    for border in _BORDERS:
        places = [match.end() for match in border.finditer(text, max(1, room // 3), room + 1)]
        if places:
            return min(places[-1], room)
    return room
