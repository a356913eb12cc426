"""Fuzz target: any bytes as the security log's newest file, after a sound beginning, and as its kept head.

Whoever can write there may have: reading, verifying and going on must name it, and raise nothing.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path
from typing import Final

from microclaw.host.audit.event import AuditEvent, AuditKind, line_of, parse_line
from microclaw.host.audit.log_files import START, ChainHead, ChainLink, find_end, follow, read_head, seal

LINE: Final = line_of(AuditEvent(AuditKind.TOKEN_REVOKED, "it opens nothing", about="ci"), 0)
SOUND, END = seal([LINE, LINE], START)
FOLDER: Final = Path(tempfile.mkdtemp(prefix="mc-fuzz-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
HEAD_FILE: Final = FOLDER / "acts.head"


def fuzz_one(data: bytes) -> None:
    for content in (data, SOUND + data):
        rest = content[len(SOUND) :]
        after = find_end(rest, END)
        assert after.n >= END.n
        assert find_end(content, START, anywhere=True).n >= 0
        _follow(content, after)
    for line in data.split(b"\n"):
        parse_line(line)
    HEAD_FILE.write_bytes(data[:8192])
    head = read_head(FOLDER, "acts")
    assert head is None or head.last.n >= 0


def _follow(content: bytes, after: ChainLink) -> None:
    """Follow from the end of what is verified, unless that names a break."""
    lines = [("acts.jsonl", number, line) for number, line in enumerate(content.split(b"\n"), 1) if line]
    report = follow("acts", lines, ChainHead(END, len(SOUND)))
    if content.startswith(SOUND) and report.is_whole:
        assert report.last == after
