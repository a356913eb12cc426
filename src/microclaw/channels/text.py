"""Text from outside made fit for a terminal: stripped of control characters, wrapped to columns. It prints nothing."""

from __future__ import annotations

import re
import textwrap
import unicodedata

# Escape sequences whole (CSI, OSC and the other string kinds, two-character ones), so that no "[31m" stays behind.
_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[PX\]^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -~]?"
)
BAR = " | "
_CODE_START = re.compile(r" *(?:\d+ +)?")
# Bidirectional overrides and isolates can show a command as another one (CVE-2021-42574).
_HIDDEN = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029\ufeff")


def clean(text: str) -> str:
    """`text` without anything that would steer a terminal; tabs and newlines stay."""
    bare = _ESCAPE.sub("", text.replace("\r\n", "\n"))
    return "".join(c for c in bare if c in "\n\t" or (c not in _HIDDEN and unicodedata.category(c) not in ("Cc", "Cs")))


def clean_line(text: str) -> str:
    """`clean`, on one line: newlines and tabs become spaces."""
    return re.sub(r"[\n\t]+", " ", clean(text)).strip()


def wrap(text: str, width: int) -> list[str]:
    """`text` as lines of at most `width` columns; its own line ends are kept, and parts between bars stay whole."""
    lines: list[str] = []
    for line in clean(text).expandtabs(4).split("\n"):
        lines += [line.rstrip()] if len(line) <= width else _wrap_line(line, width)
    return lines


def wrap_code(line: str, width: int) -> list[str]:
    """A line of source or of a diagnostic as rows of at most `width` columns: the rest hangs below its text."""
    shown = clean(line).expandtabs(4).rstrip()
    if len(shown) <= width:
        return [shown]
    indent = min(_CODE_START.match(shown).end(), width // 2)  # type: ignore[union-attr]  # matches always
    hanging = " " * indent
    return textwrap.wrap(
        shown, width, subsequent_indent=hanging, drop_whitespace=False, replace_whitespace=False, break_on_hyphens=False
    )


def _wrap_line(line: str, width: int) -> list[str]:
    rows: list[str] = []
    for part in line.split(BAR):
        joined = f"{rows[-1]}{BAR}{part}" if rows else part
        if rows and len(joined) <= width:
            rows[-1] = joined
        else:
            rows += textwrap.wrap(part, width, replace_whitespace=False, break_on_hyphens=False) or [""]
    return rows


def duration(took_ms: float) -> str:
    """A measured time as people read it: 51 ms, 1.9 s, 2 min 5 s."""
    if took_ms < 999.5:
        return f"{took_ms:.0f} ms"
    seconds = took_ms / 1000
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"
