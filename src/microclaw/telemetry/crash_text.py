"""A board's words about a crash, cleaned and cut, and what makes two of them one kind. No IO."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from msgspec import Struct

from microclaw.store.crashes import CrashKind
from microclaw.text import clean_text, code_lines, program_name
from microclaw.wire.link.values import ValueMap

TRAP: Final = "Exception: "  # how WAMR begins what it says of one
MAX_TRACE_LINES: Final = 20
MAX_TRACE_CHARS: Final = 4_000
MAX_LINE_CHARS: Final = 240
MAX_TITLE_CHARS: Final = 200
LOG_LINES: Final = 10
_BAD_RESETS: Final = ("watchdog", "wdt", "panic", "brown", "abort", "exception", "lockup", "crash", "link_")
_FRAME: Final = re.compile(r'^\s*File "([^"]*)", line (\d+)(?:, in (.+))?$', re.MULTILINE)
_PLACE: Final = re.compile(
    r"\(line \d+[^()]*, in [^()]*\)|\bline \d+(?: column \d+)?\b|\b[\w.-]+\.(?:c|cpp|h|ino|py):\d+"
)
_ADDRESS: Final = re.compile(r"\b0x[0-9a-fA-F]+\b")
_HAS_NUMBERED_KINDS: Final = "OSError"  # its number is what it is about


class Crash(Struct, frozen=True):
    """`trace` is what the board said, in lines. Of a trap the second is what the program's own checks said before."""

    kind: CrashKind
    program: str | None
    trace: str

    @property
    def is_trap(self) -> bool:
        return self.kind == "program" and self.trace.startswith(TRAP)

    @property
    def has_place(self) -> bool:
        return _PLACE.search(self.trace) is not None


def crash_of(name: str, data: ValueMap) -> Crash | None:
    """The crash that a device's event is, by the names of docs/protocols/link-methods.md; None for any other event."""
    reason = clean_trace(str(data.get("reason", "")))
    if name == "app.crash":
        return Crash("program", program_name(str(data.get("app", ""))[:200]), reason)
    if name == "crash":
        return Crash("firmware", None, reason)
    if name == "reboot":
        stays = clean_trace(str(data["not_started"])) if data.get("not_started") else ""
        if stays or any(word in reason.lower() for word in _BAD_RESETS):
            return Crash("reset", None, f"{reason}\nno program was started: {stays}" if stays else reason)
    return None


def clean_trace(text: str) -> str:
    """At most MAX_TRACE_LINES lines, the last ones: a traceback ends with what happened."""
    lines = [line.rstrip()[:MAX_LINE_CHARS] for line in clean_text(text[-MAX_TRACE_CHARS:]).split("\n")]
    kept = [line for line in lines if line]
    return "\n".join(kept[-MAX_TRACE_LINES:])


def title_of(crash: Crash) -> str:
    """The crash in a line: what happened, and where."""
    lines = code_lines(crash.trace) or ["no reason given"]
    if crash.kind == "reset":
        title = f"reset: {crash.trace.replace(chr(10), '; ') or lines[0]}"
    elif frames := _FRAME.findall(crash.trace):
        file, line, function = frames[-1]
        inside = f" in {function}" if function and function != "<module>" else ""
        title = f"{lines[-1].strip()} at {file} line {line}{inside}"
    else:
        title = lines[-1 if crash.is_trap else 0].strip()
    return title[:MAX_TITLE_CHARS]


def fingerprint(crash: Crash, version: str | None, title: str) -> str:
    """The same for crashes of one kind: of one program and version, at one place, whatever numbers they name."""
    parts = (crash.kind, crash.program or "", version or "", _without_numbers(title))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _without_numbers(title: str) -> str:
    """Addresses and values become marks; places stay, and so do the numbers of OSError."""
    text = _ADDRESS.sub("0x?", title)
    if text.startswith(_HAS_NUMBERED_KINDS):
        return text
    return re.sub(rf"({_PLACE.pattern})|\d+", lambda found: found[1] or "?", text)
