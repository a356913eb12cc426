"""Judges a task's request, and how much more may go out: the verdict of the allowlist. It connects to nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

from microclaw.egress.allowlist import Allowance, AllowEntry, Allowlist
from microclaw.egress.request_head import ProxyRequest

DAY_S: Final = 86_400
MINUTE_S: Final = 60.0


class Verdict(Struct, frozen=True, kw_only=True):
    """`entry` is the one that allows it, or that would but for something else; `port` is where the proxy connects."""

    allowed: bool
    why: str
    port: int
    entry: AllowEntry | None = None


def judge(allowlist: Allowlist, task: str, request: ProxyRequest) -> Verdict:
    """Judge a request by the allowlist."""
    about = [entry for entry in allowlist.entries if entry.fits(request.host, task)]
    if not about:
        is_others = any(entry.fits(request.host, min(entry.tasks)) for entry in allowlist.entries if entry.tasks)
        why = f"{request.host} is not {'allowed for this task' if is_others else 'on the allowlist'}"
        return Verdict(allowed=False, why=why, port=request.usual_port)
    narrowest = max(entry.specificity for entry in about)
    verdicts = [_of_entry(entry, request) for entry in about if entry.specificity == narrowest]
    return next((verdict for verdict in verdicts if verdict.allowed), verdicts[0])


def _of_entry(entry: AllowEntry, request: ProxyRequest) -> Verdict:
    host, port, tunnel, method, why = request.host, request.usual_port, request.tunnel, request.method, ""
    if not tunnel and entry.tls and port == 80:
        port = 443  # the task asks http://HOST/PATH, the proxy speaks TLS
    if tunnel and (entry.methods is not None or entry.secret is not None):
        why = f"line {entry.line} has methods or a secret, and CONNECT cannot be seen: ask http://{host}/PATH"
    elif not tunnel and not entry.tls and request.scheme == "https":
        why = f"line {entry.line} has no tls: true, so that the proxy does not speak TLS for the task: use CONNECT"
    elif port not in entry.ports:
        why = f"port {port} is not allowed for {host} (line {entry.line})"
    elif not tunnel and entry.methods is not None and method not in entry.methods:
        why = f"{method} is not allowed for {host} (line {entry.line})"
    return Verdict(allowed=not why, why=why or f"line {entry.line} allows it", port=port, entry=entry)


@dataclass(slots=True)
class TaskUse:
    """The use of one task so far: the open connections, and requests of each minute and bytes by a limit's place."""

    connections: int = 0
    counts: Counter[tuple[int, int | None]] = field(default_factory=Counter)


@dataclass(slots=True, kw_only=True)
class Meter:
    """Counts requests and bytes against the limits. `now_s` is monotonic, `unix_s` decides which day it is (UTC)."""

    now_s: Callable[[], float] = time.monotonic
    unix_s: Callable[[], float] = time.time
    days: Counter[tuple[str, int]] = field(default_factory=Counter)

    def begin(self, use: TaskUse, allowlist: Allowlist, entry: AllowEntry) -> str | None:
        """Count one request. Returns why it is too much, or None."""
        minute = int(self.now_s() // MINUTE_S)
        limits = _limits(allowlist, entry)
        for place, _, limit in limits:
            if (most := limit.requests_per_minute) is not None and use.counts[place, minute] >= most:
                return f"more than {most} requests a minute"
        use.counts.update((place, minute) for place, _, _ in limits)
        return self.take(use, allowlist, entry, 0)

    def take(self, use: TaskUse, allowlist: Allowlist, entry: AllowEntry, size_bytes: int) -> str | None:
        """Count bytes before they pass. Returns why they may not, or None."""
        day, limits = int(self.unix_s() // DAY_S), _limits(allowlist, entry)
        for place, name, limit in limits:
            for used, most, when in (
                (use.counts[place, None], limit.bytes_per_task, "in this task"),
                (self.days[name, day], limit.bytes_per_day, "today"),
            ):
                if most is not None and used + max(size_bytes, 1) > most:
                    return f"more than {most:,} bytes {when}"
        for place, name, _ in limits:
            use.counts[place, None] += size_bytes
            self.days[name, day] += size_bytes
        return None


def _limits(allowlist: Allowlist, entry: AllowEntry) -> tuple[tuple[int, str, Allowance], ...]:
    """Those of the whole file and of the entry: the place in a task's counts, and in the day's."""
    return (0, "", allowlist.limits), (entry.line, entry.host, entry)
