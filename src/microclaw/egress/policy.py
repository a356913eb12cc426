"""Judges a task's request, and how much more may go out: the verdict of the allowlist. It connects to nothing."""

from __future__ import annotations

import stat
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from msgspec import Struct

from microclaw.egress.allowlist import (
    FILE_NAME,
    METHODS,
    Allowance,
    AllowEntry,
    Allowlist,
    is_private_name,
    read_allowlist,
)
from microclaw.errors import ConfigError

DAY_S: Final = 86_400
MINUTE_S: Final = 60.0
_WHO: Final = f"the owner of this host can allow it in {FILE_NAME}, {{}}"


class Verdict(Struct, frozen=True, kw_only=True):
    """`entry` is the one that allows it, or that would but for something else; `port` is where the proxy connects."""

    allowed: bool
    why: str
    port: int
    entry: AllowEntry | None = None
    next_step: str = ""
    """What a person would change so that it is allowed; empty where nobody can, or `why` says it."""


class AllowlistSource:
    """The allowlist of a home, read again when its file changed. A file with mistakes allows nothing."""

    def __init__(self, home: Path) -> None:
        self.path = home / FILE_NAME
        self._seen: tuple[int, ...] | None = ()
        self._found: Allowlist | ConfigError = Allowlist()

    def current(self) -> Allowlist:
        """Raises ConfigError (with `diagnostics`, where lines are wrong) while the file cannot be used. Blocking."""
        seen = version_of(self.path)
        if seen != self._seen:
            try:
                self._found = read_allowlist(self.path)
            except ConfigError as exc:
                self._found = exc
            self._seen = seen
        if isinstance(self._found, ConfigError):
            raise self._found
        return self._found

    @property
    def problem(self) -> str | None:
        """Why tasks have no network although a file is there; None when it is right, or missing."""
        try:
            self.current()
        except ConfigError as exc:
            return f"tasks have no network: {exc.message}"
        return None


def judge(
    allowlist: Allowlist, *, task: str, method: str, host: str, port: int | None, scheme: str, tunnel: bool
) -> Verdict:
    """Judge a request by the allowlist. `port` None: the request names none."""
    about = [entry for entry in allowlist.entries if entry.fits(host, task)]
    wanted = port or (443 if tunnel or scheme == "https" else 80)
    if not about:
        others = (entry for entry in allowlist.entries if entry.tasks and entry.fits(host, next(iter(entry.tasks))))
        if (other := next(others, None)) is not None and other.tasks:
            names = ", ".join(sorted(other.tasks))
            step = _WHO.format(f"line {other.line}: tasks: [{names}, {task}]")
            return Verdict(allowed=False, why=f"{host} is not allowed for this task", port=wanted, next_step=step)
        why = f"{host} is not on the allowlist"
        return Verdict(allowed=False, why=why, port=wanted, next_step=line_to_add(host, wanted))
    refusals: list[Verdict] = []
    narrowest = max(entry.specificity for entry in about)
    for entry in (one for one in about if one.specificity == narrowest):
        verdict = _of_entry(entry, method, host, wanted, is_tls=scheme == "https", tunnel=tunnel)
        if verdict.allowed:
            return verdict
        refusals.append(verdict)
    return refusals[0]


def _of_entry(entry: AllowEntry, method: str, host: str, port: int, *, is_tls: bool, tunnel: bool) -> Verdict:
    if tunnel:
        if entry.methods is not None or entry.secret is not None:
            what = "a secret" if entry.secret is not None else "methods"
            why = f"line {entry.line} has {what}, and what goes through CONNECT cannot be seen: ask http://{host}/PATH"
            return Verdict(allowed=False, why=why, port=port, entry=entry)
    elif entry.tls:
        port = 443 if port == 80 else port  # the task asks http://HOST/PATH, the proxy speaks TLS
    elif is_tls:
        why = f"line {entry.line} has no tls: true, so that the proxy does not speak TLS for the task: use CONNECT"
        return Verdict(allowed=False, why=why, port=port, entry=entry)
    if port not in entry.ports:
        ports = ", ".join(map(str, sorted(entry.ports)))
        why = f"port {port} is not allowed for {host} (line {entry.line} has {ports})"
        step = _WHO.format(f"line {entry.line}: ports: [{ports}, {port}]")
        return Verdict(allowed=False, why=why, port=port, entry=entry, next_step=step)
    if not tunnel and entry.methods is not None and method not in entry.methods:
        methods = ", ".join(sorted(entry.methods))
        why = f"{method} is not allowed for {host} (line {entry.line} has {methods})"
        step = _WHO.format(f"line {entry.line}: methods: [{methods}, {method}]") if method in METHODS else ""
        return Verdict(allowed=False, why=why, port=port, entry=entry, next_step=step)
    return Verdict(allowed=True, why=f"line {entry.line} allows it", port=port, entry=entry)


def line_to_add(host: str, port: int) -> str:
    """The line with which the owner allows a host; nothing for one that no allowlist can have."""
    if is_private_name(host):
        return ""
    ports = "" if port == 443 else f", ports: [{port}]"
    return _WHO.format(f"below allow: - {{host: {host}{ports}}}")


def version_of(path: Path) -> tuple[int, ...] | None:
    """Changes whenever the file does; None where there is none."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    except OSError:
        return (-1,)
    return found.st_ino, found.st_mtime_ns, found.st_size, stat.S_IMODE(found.st_mode)


@dataclass(slots=True)
class TaskUse:
    """The use of one task so far: of the whole allowlist, and by the line of an entry."""

    bytes_used: dict[int, int] = field(default_factory=dict)
    asked_at_s: dict[int, deque[float]] = field(default_factory=dict)
    connections: int = 0


class Meter:
    """Counts requests and bytes against the limits. Key 0 is the whole allowlist, any other one an entry's line.

    `now_s` is monotonic, `unix_s` decides which day it is (UTC).
    """

    def __init__(self, *, now_s: Callable[[], float] = time.monotonic, unix_s: Callable[[], float] = time.time) -> None:
        self._now_s = now_s
        self._unix_s = unix_s
        self._day = 0
        self._day_bytes: dict[str, int] = {}

    def begin(self, use: TaskUse, allowlist: Allowlist, entry: AllowEntry) -> str | None:
        """Count one request; why it is too much, or None."""
        for key, limit in _limits(allowlist, entry):
            most = limit.requests_per_minute
            times = use.asked_at_s.setdefault(key, deque())
            while times and times[0] <= self._now_s() - MINUTE_S:
                times.popleft()
            if most is not None and len(times) >= most:
                return f"more than {most} requests a minute"
        for key, _ in _limits(allowlist, entry):
            use.asked_at_s[key].append(self._now_s())
        return self.take(use, allowlist, entry, 0)

    def take(self, use: TaskUse, allowlist: Allowlist, entry: AllowEntry, size_bytes: int) -> str | None:
        """Count bytes before they pass; why they may not, or None."""
        day = int(self._unix_s() // DAY_S)
        if day != self._day:
            self._day, self._day_bytes = day, {}
        for key, limit in _limits(allowlist, entry):
            name = entry.host if key else ""
            used, today = use.bytes_used.get(key, 0), self._day_bytes.get(name, 0)
            if limit.bytes_per_task is not None and used + max(size_bytes, 1) > limit.bytes_per_task:
                return f"more than {limit.bytes_per_task:,} bytes in this task"
            if limit.bytes_per_day is not None and today + max(size_bytes, 1) > limit.bytes_per_day:
                return f"more than {limit.bytes_per_day:,} bytes today"
        for key, _ in _limits(allowlist, entry):
            name = entry.host if key else ""
            use.bytes_used[key] = use.bytes_used.get(key, 0) + size_bytes
            self._day_bytes[name] = self._day_bytes.get(name, 0) + size_bytes
        return None


def _limits(allowlist: Allowlist, entry: AllowEntry) -> tuple[tuple[int, Allowance], ...]:
    return (0, allowlist.limits), (entry.line, entry.allowance)
