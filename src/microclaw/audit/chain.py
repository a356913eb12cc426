"""The chain of the security log: each line holds the SHA-256 of the line before it. It reads and writes no file.

There is no key in it: docs/audit.md says what that cannot tell.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any, Final

import msgspec

Natural = Annotated[int, msgspec.Meta(ge=0)]
Hash = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


@dataclass(frozen=True, slots=True)
class Link:
    """A line of the chain: its number, from 1 on, and the SHA-256 of its bytes without the line end."""

    n: Natural
    hash: Hash


START: Final = Link(0, "0" * 64)  # what the first line names


@dataclass(frozen=True, slots=True)
class Head:
    """The last line of a set of files, the newest file's size with it, and the last line that was rotated away."""

    last: Link
    file_bytes: Natural
    anchor: Link = START


def seal(lines: Iterable[bytes], last: Link) -> tuple[bytes, Link]:
    """The lines with their places after `last`, and the last of them. Each is a JSON object and a line end."""
    sealed = bytearray()
    for line in lines:
        whole = b'%b,"n":%d,"prev":"%b"}' % (line.rstrip(b"\n")[:-1], last.n + 1, last.hash.encode())
        last = Link(last.n + 1, hash_of(whole))
        sealed += whole + b"\n"
    return bytes(sealed), last


def hash_of(line: bytes) -> str:
    """The SHA-256 of a line without its line end."""
    return sha256(line).hexdigest()


def fields_of(line: bytes) -> dict[str, Any] | None:
    """The JSON object of an event; None for other text, such as the half line that a power cut left."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and "kind" in found else None


def named_by(fields: dict[str, Any] | None) -> Link | None:
    """The line before, as a line names it; None for a line without a place in the chain."""
    n, prev = (fields or {}).get("n"), (fields or {}).get("prev")
    return Link(n - 1, prev) if type(n) is int and n > 0 and isinstance(prev, str) else None


def end_of(data: bytes, last: Link, *, anywhere: bool = False) -> Link:
    """The end of the chain in lines that follow `last`, or wherever it began.

    Where lines are missing it stays at `last`, so that `audit verify` names them.
    """
    for line in data.split(b"\n"):
        before = named_by(fields_of(line))
        if before is not None and (anywhere or before == last):
            last = Link(before.n + 1, hash_of(line))
    return last
