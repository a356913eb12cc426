"""Markdown as Telegram's HTML (code, tables, bold, links, lists), and texts in pieces that fit a message. No IO."""

from __future__ import annotations

import html
import re
from typing import Final

from microclaw.events import Answer
from microclaw.text import clean_text

LIMIT: Final = 4096  # UTF-16 code units of a message, without its tags
_TABLE_RULE: Final = re.compile(r"^ {0,3}\|[ :|-]+\| *\n?", re.MULTILINE)
_MARKUP: Final = re.compile(  # of text that is escaped
    r"^ {0,3}(?P<ticks>```+) *(?P<language>[\w+#.-]{0,32})[^`\n]*$(?:\n(?P<block>(?s:.*?)))??(?:\n *(?P=ticks) *$|\Z)"
    r"|(?P<table>^ {0,3}\|.*\| *$(?:\n {0,3}\|.*\| *$)*)"
    r"|^ {0,3}#{1,6} +(?=\S)(?P<heading>.*?)(?: +#+)? *$"
    r"|^(?P<indent> *)[-*+] +(?=\S)"
    r"|`(?=[^`\n]*[^`\s])(?P<code>[^`\n]+)`|\*\*(?P<bold>[^*`\s](?:[^*`\n]*[^*`\s])?)\*\*"
    r"|\[(?P<label>[^\[\]\n]{1,500})\]\((?P<url>https?://[^\s()<>\"]{1,1000})\)",
    re.MULTILINE,
)
_FENCE_LINE: Final = re.compile(r"^ {0,3}```+([^`\n]*)$", re.MULTILINE)
_MAX_INFO: Final = 32  # a longer word after ``` is no language and is not repeated
_CLOSING: Final = "\n```"
_BORDERS: Final = tuple(map(re.compile, (r"(?=\n\n)", r"(?=\n)", r"(?= )")))


def telegram_html(markdown: str) -> str:
    """Balanced tags, every other `<`, `>` and `&` escaped, no character that Telegram refuses."""
    return _MARKUP.sub(_tagged, html.escape(clean_text(markdown), quote=False))


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
        piece = rest[:cut].rstrip()
        rest = rest[cut:]
        opened = open_fence(piece)
        if opened is not None:
            piece += _CLOSING
            rest = f"{opened}\n{rest.removeprefix(chr(10))}"
        else:
            if rest.startswith("\n"):
                rest = rest.lstrip("\n")
            else:
                rest = rest.removeprefix(" ")
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


def _tagged(found: re.Match[str]) -> str:
    if found["ticks"]:
        code = found["block"] or ""
        language = found["language"]
        if language:
            tagged = f'<code class="language-{language}">{code}</code>'
        else:
            tagged = code
        if code.strip():
            return f"<pre>{tagged}</pre>"
        return ""
    table = found["table"]
    if table:
        return f"<pre>{_TABLE_RULE.sub('', table).rstrip() or table}</pre>"
    code = found["code"]
    if code:
        return f"<code>{code}</code>"
    label = found["label"]
    if label:
        return f'<a href="{found["url"]}">{label}</a>'
    if found["indent"] is not None:
        return f"{found['indent']}• "
    bold = found["bold"] or re.sub("[*`]", "", found["heading"])
    if bold.strip():
        return f"<b>{bold}</b>"
    return found[0]


def answer_markdown(answer: Answer) -> str:
    """An answer with the evidence that its words do not have, and the next step."""
    parts = [answer.text.strip()]
    for evidence in answer.evidence:
        if evidence.text.lower() not in answer.text.lower():
            if evidence.text.lower().startswith(evidence.kind):
                kind = ""
            else:
                kind = f"{evidence.kind}: "
            parts.append(f"{kind}{evidence.text}")
    step = answer.next_step
    if step:
        parts.append(step if "`" in step else f"next: `{clean_text(step, one_line=True)}`")
    return "\n\n".join(part for part in parts if part)


def _border(text: str, room: int) -> int:
    """The place to cut within the first `room` characters: paragraph, line, word, and then anywhere.

    A border in the first third is left for a weaker one behind it: pieces should not become crumbs.
    """
    for border in _BORDERS:
        places = [found.end() for found in border.finditer(text, max(1, room // 3), room + 1)]
        if places:
            return min(places[-1], room)
    return room
