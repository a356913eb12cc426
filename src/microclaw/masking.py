"""Known secret values, taken out of texts and of streams of bytes in every usual form. It knows no setting.

A value that was changed in another way (reversed, cut into parts by its writer) is not found.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, quote_plus

MIN_CHARS: Final = 8  # shorter ones would mask words
MASK: Final = "[masked]"
_PEOPLES: Final = r"(?<![A-Za-z0-9_-])mc_[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])"
"""People's tokens: of these the host knows hashes alone."""


class SecretMask:
    """Masks what it was told of; `add` may be called at any time, from any thread."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._forms: frozenset[bytes] = frozenset()
        self._text = re.compile(_PEOPLES)
        self._bytes: re.Pattern[bytes] | None = None
        self.add(*values)

    def add(self, *values: str) -> None:
        """Mask these from now on. What is shorter than MIN_CHARS is left alone."""
        new = {form for value in values for form in forms_of(value)}
        with self._lock:
            if new <= self._forms:
                return
            self._forms |= new
            ordered = sorted(self._forms, key=len, reverse=True)  # the whole before its part
            self._bytes = re.compile(b"|".join(map(re.escape, ordered)))
            self._text = re.compile("|".join([_PEOPLES, *(re.escape(form.decode()) for form in ordered)]))

    def masked(self, text: str) -> str:
        """The text with a mark in the place of each value and of each token."""
        return self._text.sub(MASK, text)

    def masked_bytes(self, data: bytes) -> bytes:
        """The same length, with stars: what counts the bytes stays right."""
        if self._bytes is None:
            return data
        return self._bytes.sub(lambda found: b"*" * len(found[0]), data)

    def begun(self, data: bytes) -> int:
        """The number of bytes at the end that could be the beginning of a value."""
        longest = max(map(len, self._forms), default=1) - 1
        for size in range(min(longest, len(data)), 0, -1):
            end = data[-size:]
            if any(form.startswith(end) for form in self._forms):
                return size
        return 0


class MaskedStream:
    """For bytes that come in pieces: holds back what could be the beginning of a value."""

    def __init__(self, mask: SecretMask) -> None:
        self._mask = mask
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Return what may go on by now."""
        masked = self._mask.masked_bytes(self._held + data)
        end = len(masked) - self._mask.begun(masked)
        self._held = masked[end:]
        return masked[:end]

    def rest(self) -> bytes:
        """Return what was held back, at the end."""
        held = self._held
        self._held = b""
        return held


def forms_of(value: str) -> frozenset[bytes]:
    """A value as it may be written: plain, in URLs, JSON, Python, hexadecimal, and in base64 at each of its places."""
    if len(value) < MIN_CHARS:
        return frozenset()
    raw = value.encode()
    texts = {value, quote(value), quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1], repr(value)[1:-1]}
    texts |= {value.replace("/", "\\/"), raw.hex(), raw.hex().upper()}
    for before in range(3):  # base64 of what stands before it too ("user:" + value): its three places
        encoded = base64.b64encode(b"\0" * before + raw).rstrip(b"=")
        end = (before + len(raw)) * 8 // 6  # the characters that the value alone decides
        start = (before * 8 + 5) // 6
        core = encoded[start:end].decode()
        if len(core) >= MIN_CHARS:
            texts |= {core, core.translate({43: "-", 47: "_"})}
    return frozenset(text.encode() for text in texts)
