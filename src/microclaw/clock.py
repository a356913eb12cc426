"""The time of day and the time zones that the host works with."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_LOCALTIME = Path("/etc/localtime")  # a link into a zoneinfo folder, on Linux and macOS
_TIMEZONE = Path("/etc/timezone")  # where Debian writes the name beside it


def find_zone(name: str) -> ZoneInfo | None:
    """Return the zone of this name, or None if this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def machine_zone(
    environ: Mapping[str, str] = os.environ, *, localtime: Path = _LOCALTIME, timezone: Path = _TIMEZONE
) -> str:
    """Return the zone that TZ, /etc/localtime or /etc/timezone names, or UTC if none of them names one."""
    linked = _text(lambda: str(localtime.resolve(strict=True)).partition("/zoneinfo/")[2])
    written = _text(lambda: timezone.read_text(encoding="utf-8", errors="replace").strip())
    for name in (environ.get("TZ", "").removeprefix(":"), linked, written):
        if name and find_zone(name):
            return name
    return "UTC"


def local_clock(timezone: str | None, now_s: Callable[[], float] = time.time) -> Callable[[], datetime]:
    """Return a function for the local time of a zone, or of the machine's zone if `timezone` is None."""
    zone = ZoneInfo(timezone or machine_zone())
    return lambda: datetime.fromtimestamp(now_s(), zone)


def _text(read: Callable[[], str]) -> str:
    try:
        return read()
    except OSError:
        return ""


def now_ms() -> int:
    """Return Unix time in milliseconds."""
    return time.time_ns() // 1_000_000
