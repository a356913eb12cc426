"""Bytes of a firmware's serial console to lines of text: bounded, cleaned, without the shell's prompt. No IO."""

from __future__ import annotations

import re
from typing import Final

from microclaw.text import clean_text

MAX_LINE_BYTES: Final = 1_000
MAX_LINES_AT_ONCE: Final = 500
NO_TEXT: Final = "(bytes that are no text: another speed, or a program that prints data)"
_PROMPT: Final = re.compile(r"^(?:WASMachine>\s*)+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f\ufffd]")


class ConsoleDecoder:
    """`receive` what comes, `quiet` when nothing came for a while. Lines that show nothing are left out.

    Of a line without an end the first MAX_LINE_BYTES are shown. Of more than MAX_LINES_AT_ONCE in one piece the newest
    stay, and a line says how many were left out.
    """

    def __init__(self) -> None:
        self._partial = b""
        self._is_cut = False  # the beginning was shown, the rest of the line is thrown away
        self._was_noise = False

    def receive(self, data: bytes) -> list[str]:
        if self._is_cut:
            _, end, data = data.partition(b"\n")
            if not end:
                return []
            self._is_cut = False
        *whole, self._partial = (self._partial + data).split(b"\n")
        if len(self._partial) > MAX_LINE_BYTES:
            whole.append(self._partial)
            self._partial = b""
            self._is_cut = True
        left_out = max(0, len(whole) - MAX_LINES_AT_ONCE)
        if left_out:
            said = [f"({left_out} {'line was' if left_out == 1 else 'lines were'} left out)"]
        else:
            said = []
        return said + [text for line in whole[left_out:] if (text := self._text(line))]

    def quiet(self) -> list[str]:
        """End the line that is under way: a program may print without ends."""
        line = self._partial
        self._partial = b""
        self._is_cut = False
        text = self._text(line)
        if text:
            return [text]
        return []

    def _text(self, line: bytes) -> str:
        raw = line[:MAX_LINE_BYTES].decode("utf-8", "replace")
        is_noise = 2 * len(_CONTROL.findall(raw)) > len(raw)
        if is_noise and self._was_noise:
            return ""
        if is_noise:
            text = NO_TEXT
        else:
            text = _PROMPT.sub("", clean_text(raw, one_line=True))
        if text:
            self._was_noise = is_noise
        if len(line) > MAX_LINE_BYTES and not is_noise:
            return f"{text}…"
        return text
