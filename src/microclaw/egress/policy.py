"""Judges a task's request, and how much more may go out: the verdict of the allowlist. It connects to nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from microclaw.egress.allowlist import AllowEntry, Allowlist
from microclaw.egress.request_head import ProxyRequest, RequestRefused

DAY_S: Final = 86_400
MINUTE_S: Final = 60.0
Counts: TypeAlias = Counter[tuple[object, object]]
"""Requests and bytes so far: by the place of a limit, and the minute or day that it is of."""


def judge(allowlist: Allowlist, task: str, request: ProxyRequest) -> tuple[AllowEntry, int]:
    """The entry that allows a request, and the port where the proxy connects. Raises RequestRefused."""
    about = [entry for entry in allowlist.entries if entry.fits(request.host, task)]
    if not about:
        raise RequestRefused(403, f"{request.host} is not on the allowlist for this task")
    narrowest = max(entry.specificity for entry in about)
    reasons: list[str] = []
    for entry in about:
        if entry.specificity == narrowest:
            port = request.usual_port
            if entry.tls and port == 80 and not request.tunnel:
                port = 443  # the task asks http://HOST/PATH, the proxy speaks TLS
            if not (why := _obstacle(entry, request, port)):
                return entry, port
            reasons.append(why)
    raise RequestRefused(403, reasons[0])


def _obstacle(entry: AllowEntry, request: ProxyRequest, port: int) -> str:
    host, tunnel, method = request.host, request.tunnel, request.method
    if tunnel and (entry.methods is not None or entry.secret is not None):
        return f"line {entry.line} has methods or a secret, and CONNECT cannot be seen: ask http://{host}/PATH"
    if not tunnel and not entry.tls and request.scheme == "https":
        return f"line {entry.line} has no tls: true, so that the proxy does not speak TLS for the task: use CONNECT"
    if port not in entry.ports:
        return f"port {port} is not allowed for {host} (line {entry.line})"
    if not tunnel and entry.methods is not None and method not in entry.methods:
        return f"{method} is not allowed for {host} (line {entry.line})"
    return ""


@dataclass(slots=True, kw_only=True)
class Meter:
    """Counts requests and bytes against the limits. `now_s` is monotonic, `unix_s` decides which day it is (UTC)."""

    now_s: Callable[[], float] = time.monotonic
    unix_s: Callable[[], float] = time.time
    days: Counts = field(default_factory=Counter)

    def take(self, use: Counts, allowlist: Allowlist, entry: AllowEntry, size_bytes: int, *, begins: int = 0) -> None:
        """Count bytes of a task before they pass, and a request that `begins`. Raises RequestRefused for too much."""
        minute, day = int(self.now_s() // MINUTE_S), int(self.unix_s() // DAY_S)
        rows = []
        for place, name, limit in ((0, "", allowlist.limits), (entry.line, entry.host, entry)):
            rows += [
                (use, (place, minute), begins, limit.requests_per_minute, "requests a minute"),
                (use, (place, None), size_bytes, limit.bytes_per_task, "bytes in this task"),
                (self.days, (name, day), size_bytes, limit.bytes_per_day, "bytes today"),
            ]
        for counts, key, more, most, what in rows:
            if most is not None and counts[key] + max(more, begins) > most:
                raise RequestRefused(429, f"more than {most:,} {what}")
        for counts, key, more, _, _ in rows:
            counts[key] += more
