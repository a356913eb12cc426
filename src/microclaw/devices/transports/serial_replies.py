"""Finds the answers among the lines of a serial port. It reads no port.

Boot lines may be JSON objects with status ok (protocols/jsonline, traps), and dialect C repeats neither pin nor state:
the "ready" of a board that has just restarted must not pass for "GPIO set".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from microclaw.errors import ProtocolError
from microclaw.wire import jsonline

_MAX_STARTS: Final = 8
_FIRST_PRINTABLE = 0x20
_LAST_PRINTABLE = 0x7E

# An ok answer to an action has, in at least one dialect, one of these members, or a msg with this beginning.
_MARKS: Final[Mapping[str, tuple[frozenset[str], str]]] = {
    "set_gpio": (frozenset({"pin", "state"}), "GPIO"),
    "read_gpio": (frozenset({"state"}), "GPIO"),
    "read_adc": (frozenset({"value", "voltage"}), "ADC"),
    "set_pwm": (frozenset({"pin", "duty", "duty_cycle"}), "PWM"),
    "read_i2c": (frozenset({"data", "sensor"}), "I2C"),
    "read_sensors": (frozenset({"sensors"}), "sensors"),
    "get_status": (frozenset({"connected", "sensors_active", "gpio_states"}), "status"),
    "get_info": (frozenset({"uptime_ms"}), "info"),
    "custom_i2c_scan": (frozenset({"addresses", "devices"}), "I2C"),
}


class RestartedBeforeReply(Exception):
    """The board restarted between a request and its answer."""


def find_reply(line: bytes) -> Mapping[str, object] | None:
    """Return the line's object with a status, which may follow a prompt or garbage. None for any other line.

    An object inside a readable log line belongs to the log, and is not an answer.
    """
    start = -1
    for _ in range(_MAX_STARTS):
        start = line.find(b"{", start + 1)
        if start < 0:
            return None
        if not _is_noise(line[:start]):
            continue
        try:
            reply = jsonline.parse_object(line[start:])
        except ProtocolError:
            continue
        if "status" not in reply:
            return None
        return reply
    return None


def is_answer(reply: Mapping[str, object], action: str) -> bool:
    """Return True if this can answer the action: every error can; an ok reply with a msg must fit the action."""
    marks = _MARKS.get(action)
    message = reply.get("msg")
    if marks is None or reply.get("status") != "ok" or not isinstance(message, str):
        return True
    members, beginning = marks
    return not members.isdisjoint(reply) or message.startswith(beginning)


def _is_noise(before: bytes) -> bool:
    """Return True for nothing, a console's prompt, or unreadable bytes (a boot at another baud rate)."""
    if not before.strip() or before.rstrip().endswith(b">"):
        return True
    return any(_is_unreadable(byte) for byte in before)


def _is_unreadable(byte: int) -> bool:
    return byte > _LAST_PRINTABLE or (byte < _FIRST_PRINTABLE and byte not in b"\t\x1b")


_RESET: Final = re.compile(rb"rst:0x[0-9a-f]{1,2} \(([A-Za-z0-9_]{1,40})\)")
_CRASH: Final = (
    (re.compile(rb"Guru Meditation Error:.{0,40}\(([ -'*-~]{1,60})\)"), "it crashed: "),
    (re.compile(rb"(Brownout detector was triggered)"), "its supply is too weak: "),
    (re.compile(rb"(abort\(\) was called)"), "it crashed: "),
)
_DOWNLOAD: Final = b"waiting for download"


class BootWatch:
    """A count of a board's starts while the host waits for it."""

    def __init__(self) -> None:
        self.restarts = 0
        self._reason: str | None = None
        self._crash: str | None = None
        self.in_download_mode = False

    def hear(self, line: bytes) -> bool:
        """Note a line that is not a reply. Returns True if it says that the board has just started."""
        if _DOWNLOAD in line:
            self.in_download_mode = True
        for pattern, words in _CRASH:
            crash = pattern.search(line)
            if crash:
                self._crash = words + crash[1].decode("ascii")
        reset = _RESET.search(line)
        if reset is None:
            return False
        self.restarts += 1
        self._reason = reset[1].decode("ascii")
        self.in_download_mode = False
        return True

    @property
    def quotes(self) -> bool:
        """True if `why` has words of the board."""
        return self._crash is not None

    def why(self) -> str:
        """Return the last reason in brackets, " (RTCWDT_RTC_RST; it crashed: LoadProhibited)", or ""."""
        reason = "; ".join(part for part in (self._reason, self._crash) if part)
        if reason:
            return f" ({reason})"
        return ""
