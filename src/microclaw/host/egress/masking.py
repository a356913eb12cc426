"""Masks known secret values in texts and in streams of bytes, in every usual form.

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
_PERSON_PATTERN: Final = r"(?<![A-Za-z0-9_-])mc_[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])"
"""Tokens of people: the host knows only their hashes."""


class SecretMask:
    """Masks the values that were added; `add` may be called at any time from any thread."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._forms: frozenset[bytes] = frozenset()
        self._text = re.compile(_PERSON_PATTERN)
        self._bytes: re.Pattern[bytes] | None = None
        self.add(*values)

    def add(self, *values: str) -> None:
        """Mask these values from now on. Values shorter than MIN_CHARS are ignored."""
        new: set[bytes] = set()
        for value in values:
            new |= forms_of(value)
        with self._lock:
            if new <= self._forms:
                return
            self._forms |= new
            # A form is tried before its parts.
            ordered = sorted(self._forms, key=len, reverse=True)
            self._bytes = re.compile(b"|".join(map(re.escape, ordered)))
            patterns = [_PERSON_PATTERN, *(re.escape(form.decode()) for form in ordered)]
            self._text = re.compile("|".join(patterns))

    def masked(self, text: str) -> str:
        """Return the text with MASK in place of each value and token."""
        return self._text.sub(MASK, text)

    def masked_bytes(self, data: bytes) -> bytes:
        """Return the data with stars in place of each value, in the same length, so that counts of bytes stay right."""
        if self._bytes is None:
            return data
        return self._bytes.sub(lambda match: b"*" * len(match[0]), data)

    def begun(self, data: bytes) -> int:
        """Return how many bytes at the end could be the beginning of a value."""
        longest = max(map(len, self._forms), default=1) - 1
        for size in range(min(longest, len(data)), 0, -1):
            end = data[-size:]
            if any(form.startswith(end) for form in self._forms):
                return size
        return 0


class MaskedStream:
    """Masks bytes that come in pieces; it holds back bytes that could be the beginning of a value."""

    def __init__(self, mask: SecretMask) -> None:
        self._mask = mask
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Return the masked bytes that may be passed on now."""
        masked = self._mask.masked_bytes(self._held + data)
        end = len(masked) - self._mask.begun(masked)
        self._held = masked[end:]
        return masked[:end]

    def rest(self) -> bytes:
        """Return the bytes that were held back; call it at the end."""
        held = self._held
        self._held = b""
        return held


def forms_of(value: str) -> frozenset[bytes]:
    """Return the forms of a value: plain, in URLs, JSON, Python, hexadecimal, and in base64 at each offset."""
    if len(value) < MIN_CHARS:
        return frozenset()
    raw = value.encode()
    texts = {value, quote(value), quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1], repr(value)[1:-1]}
    texts |= {value.replace("/", "\\/"), raw.hex(), raw.hex().upper()}
    # In base64 text before the value ("user:" + value) shifts it to one of three offsets.
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + raw).rstrip(b"=")
        # Only the characters between these depend on the value and nothing else.
        start = (offset * 8 + 5) // 6
        end = (offset + len(raw)) * 8 // 6
        core = encoded[start:end].decode()
        if len(core) >= MIN_CHARS:
            texts |= {core, core.translate({43: "-", 47: "_"})}
    return frozenset(text.encode() for text in texts)
