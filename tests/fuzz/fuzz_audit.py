"""Fuzz target: any bytes as the security log's newest file, after a sound beginning, and as its kept head.

Whoever can write there may have: reading, verifying and going on must name it, and raise nothing.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path
from typing import Final

from microclaw.audit.chain import START, Head, Link, hash_of, read_head, resume, seal
from microclaw.audit.event import AuditEvent, AuditKind, line_of
from microclaw.audit.files import parse_line
from microclaw.audit.verify import _Walk

LINE: Final = line_of(AuditEvent(AuditKind.TOKEN_REVOKED, "it opens nothing", about="ci"), 0)
SOUND, END = seal([LINE, LINE], START)
FOLDER: Final = Path(tempfile.mkdtemp(prefix="mc-fuzz-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
HEAD_FILE: Final = FOLDER / "acts.head"


def fuzz_one(data: bytes) -> None:
    for content in (data, SOUND + data):
        after = resume(content, Head(END, len(SOUND)))
        assert after.n >= END.n
        assert resume(content, None).n >= (END.n if content.startswith(SOUND) and b"\n" not in data else 0)
        _follow(content, after)
    for line in data.split(b"\n"):
        parse_line(line)
    HEAD_FILE.write_bytes(data[:8192])
    head = read_head(HEAD_FILE)
    assert head is None or head.last.n >= 0


def _follow(content: bytes, after: Link) -> None:
    """What is gone on with is the end of what is verified, unless that names a break."""
    walk = _Walk("acts", START, frozenset())
    for number, line in enumerate(content.split(b"\n"), 1):
        walk.where = ("acts.jsonl", number)
        if line:
            walk.take(line, (END.n,))
    if content.startswith(SOUND) and not walk.break_count:
        assert walk.last == after
        assert walk.hashes[END.n] == END.hash == hash_of(SOUND.split(b"\n")[1])
