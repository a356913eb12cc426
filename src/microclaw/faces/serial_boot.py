"""What a board's ROM and bootloader print when it starts, and what that says of it. It reads no port.

Formats: esptool documentation, boot mode selection (boot log); ESP-IDF, fatal errors.
"""

from __future__ import annotations

import re
from typing import Final

_RESET: Final = re.compile(rb"rst:0x[0-9a-f]{1,2} \(([A-Za-z0-9_]{1,40})\)")
_CRASH: Final = (
    (re.compile(rb"Guru Meditation Error:.{0,40}\(([ -'*-~]{1,60})\)"), "it crashed: "),
    (re.compile(rb"(Brownout detector was triggered)"), "its supply is too weak: "),
    (re.compile(rb"(abort\(\) was called)"), "it crashed: "),
)
_DOWNLOAD: Final = b"waiting for download"


class BootWatch:
    """Counts how often a board starts while one waits for it."""

    def __init__(self) -> None:
        self.restarts = 0
        self._reason: str | None = None
        self._crash: str | None = None
        self.in_download_mode = False

    def hear(self, line: bytes) -> bool:
        """Take a line that is no reply; True when it says that the board has just started."""
        if _DOWNLOAD in line:
            self.in_download_mode = True
        for pattern, words in _CRASH:
            if crash := pattern.search(line):
                self._crash = words + crash[1].decode("ascii")
        reset = _RESET.search(line)
        if reset is None:
            return False
        self.restarts += 1
        self._reason = reset[1].decode("ascii")
        self.in_download_mode = False
        return True

    def why(self) -> str:
        """The last reason in brackets, " (RTCWDT_RTC_RST; it crashed: LoadProhibited)", or nothing."""
        known = "; ".join(part for part in (self._reason, self._crash) if part)
        return f" ({known})" if known else ""
