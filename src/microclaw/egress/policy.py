"""Judges a task's request, and how much more may go out: the verdict of the allowlist. It connects to nothing."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

from microclaw.egress.allowlist import Allowance, AllowEntry, Allowlist
from microclaw.egress.request_head import Place

DAY_S: Final = 86_400
MINUTE_S: Final = 60.0


class Verdict(Struct, frozen=True, kw_only=True):
    """`entry` is the one that allows it, or that would but for something else; `port` is where the proxy connects."""

    allowed: bool
    why: str
    port: int
    entry: AllowEntry | None = None


def judge(allowlist: Allowlist, *, task: str, method: str, place: Place) -> Verdict:
    """Judge a request by the allowlist."""
    about = [entry for entry in allowlist.entries if entry.fits(place.host, task)]
    if not about:
        is_others = any(entry.fits(place.host, min(entry.tasks)) for entry in allowlist.entries if entry.tasks)
        why = f"{place.host} is not {'allowed for this task' if is_others else 'on the allowlist'}"
        return Verdict(allowed=False, why=why, port=place.usual_port)
    narrowest = max(entry.specificity for entry in about)
    verdicts = [_of_entry(entry, method, place) for entry in about if entry.specificity == narrowest]
    return next((verdict for verdict in verdicts if verdict.allowed), verdicts[0])


def _of_entry(entry: AllowEntry, method: str, place: Place) -> Verdict:
    host, port, tunnel = place.host, place.usual_port, method == "CONNECT"
    why = ""
    if not tunnel and entry.tls and port == 80:
        port = 443  # the task asks http://HOST/PATH, the proxy speaks TLS
    if tunnel and (entry.methods is not None or entry.secret is not None):
        why = f"line {entry.line} has methods or a secret, and CONNECT cannot be seen: ask http://{host}/PATH"
    elif not tunnel and not entry.tls and place.scheme == "https":
        why = f"line {entry.line} has no tls: true, so that the proxy does not speak TLS for the task: use CONNECT"
    elif port not in entry.ports:
        why = f"port {port} is not allowed for {host} (line {entry.line})"
    elif not tunnel and entry.methods is not None and method not in entry.methods:
        why = f"{method} is not allowed for {host} (line {entry.line})"
    return Verdict(allowed=not why, why=why or f"line {entry.line} allows it", port=port, entry=entry)


@dataclass(slots=True)
class TaskUse:
    """The use of one task so far: of the whole allowlist (0), and by the line of an entry."""

    bytes_used: Counter[int] = field(default_factory=Counter)
    asked_at_s: dict[int, deque[float]] = field(default_factory=dict)
    connections: int = 0


@dataclass(slots=True, kw_only=True)
class Meter:
    """Counts requests and bytes against the limits. `now_s` is monotonic, `unix_s` decides which day it is (UTC)."""

    now_s: Callable[[], float] = time.monotonic
    unix_s: Callable[[], float] = time.time
    day: int = 0
    day_bytes: Counter[str] = field(default_factory=Counter)

    def begin(self, use: TaskUse, allowlist: Allowlist, entry: AllowEntry) -> str | None:
        """Count one request. Returns why it is too much, or None."""
        now_s, limits = self.now_s(), _limits(allowlist, entry)
        for key, _, limit in limits:
            times = use.asked_at_s.setdefault(key, deque())
            while times and times[0] <= now_s - MINUTE_S:
                times.popleft()
            if (most := limit.requests_per_minute) is not None and len(times) >= most:
                return f"more than {most} requests a minute"
        for key, _, _ in limits:
            use.asked_at_s[key].append(now_s)
        return self.take(use, allowlist, entry, 0)

    def take(self, use: TaskUse, allowlist: Allowlist, entry: AllowEntry, size_bytes: int) -> str | None:
        """Count bytes before they pass. Returns why they may not, or None."""
        if (day := int(self.unix_s() // DAY_S)) != self.day:
            self.day, self.day_bytes = day, Counter()
        limits = _limits(allowlist, entry)
        for key, name, limit in limits:
            for used, most, when in (
                (use.bytes_used[key], limit.bytes_per_task, "in this task"),
                (self.day_bytes[name], limit.bytes_per_day, "today"),
            ):
                if most is not None and used + max(size_bytes, 1) > most:
                    return f"more than {most:,} bytes {when}"
        for key, name, _ in limits:
            use.bytes_used[key] += size_bytes
            self.day_bytes[name] += size_bytes
        return None


def _limits(allowlist: Allowlist, entry: AllowEntry) -> tuple[tuple[int, str, Allowance], ...]:
    """Those of the whole file and of the entry: the key in a task's use, and in the day's."""
    return (0, "", allowlist.limits), (entry.line, entry.host, entry)
