"""The chain of the security log: each line holds the SHA-256 of the line before it, and a kept head names the last one.

Without a key: it tells a mistake, a damaged disk and a hand that changed some lines. Whoever can write all of the
files can make a new chain; a head that was noted elsewhere tells that, too (docs/audit.md).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec

from microclaw.durable import open_regular, replace_file

ZERO: Final = "0" * 64  # what the first line names
MAX_HEAD_BYTES: Final = 4096
_HASH: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Link:
    """A place in the chain: the number of a line, from 1 on, and the SHA-256 of its bytes without the line end."""

    n: int
    hash: str

    @property
    def is_one(self) -> bool:
        return self.n >= 0 and _HASH.fullmatch(self.hash) is not None


START: Final = Link(0, ZERO)


@dataclass(frozen=True, slots=True)
class Head:
    """What is kept beside a set of files: its last line, how long the newest file was with it (`file_bytes`), and the
    last line of what was rotated away (`anchor`)."""

    last: Link
    file_bytes: int
    anchor: Link = START


@dataclass(frozen=True, slots=True)
class ChainedLine:
    """What a line says of its place: its number, and the hash of the line before it."""

    n: int
    prev: str


def seal(lines: Iterable[bytes], last: Link) -> tuple[bytes, Link]:
    """The lines with their places after `last`, and the last of them. Each is a JSON object and a line end."""
    sealed = bytearray()
    for line in lines:
        body = line.rstrip(b"\n")[:-1]
        whole = b'%b,"n":%d,"prev":"%b"}' % (body, last.n + 1, last.hash.encode())
        last = Link(last.n + 1, hash_of(whole))
        sealed += whole + b"\n"
    return bytes(sealed), last


def hash_of(line: bytes) -> str:
    """The SHA-256 of a line's bytes as they are in the file, without the line end."""
    return sha256(line).hexdigest()


def fields_of(line: bytes) -> dict[str, Any] | None:
    """The JSON object of an act; None for what is none, such as the beginning of a line that a power cut left."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and "kind" in found else None


def place_of(fields: dict[str, Any]) -> ChainedLine | None:
    """A line's place; None for a line without one."""
    n, prev = fields.get("n"), fields.get("prev")
    if type(n) is not int or n < 1 or not isinstance(prev, str) or _HASH.fullmatch(prev) is None:
        return None
    return ChainedLine(n, prev)


def last_link(data: bytes) -> Link | None:
    """The last line of a file's content that has a place; None when there is none."""
    for line in reversed(data.split(b"\n")):
        if (fields := fields_of(line)) is not None and (place := place_of(fields)) is not None:
            return Link(place.n, hash_of(line))
    return None


def resume(data: bytes, head: Head | None) -> Link:
    """After which line the chain goes on; `data` is the newest file's content.

    Lines that follow the head's are those whose head a power cut took. Where lines are missing, the chain goes on after
    the head all the same, so that `verify` tells of them.
    """
    if head is None:
        return last_link(data) or START
    last = head.last
    for line in data[head.file_bytes :].split(b"\n"):
        fields = fields_of(line)
        place = None if fields is None else place_of(fields)
        if place == ChainedLine(last.n + 1, last.hash):
            last = Link(last.n + 1, hash_of(line))
    return last


def read_head(path: Path) -> Head | None:
    """The kept head; None when there is none or it cannot be understood. OSError or StoreError."""
    try:
        with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
            head = msgspec.json.decode(file.read(MAX_HEAD_BYTES), type=Head)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return head if head.last.is_one and head.anchor.is_one and head.file_bytes >= 0 else None


def write_head(path: Path, head: Head) -> None:
    """Whole, and on the disk when this returns. OSError."""
    replace_file(path, msgspec.json.encode(head) + b"\n", only_writer=True)
