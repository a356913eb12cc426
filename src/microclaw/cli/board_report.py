"""`microclaw doctor --report`: one block of plain text about this machine and a board, to paste where others read it.

Every value is a number, a digest, a word from a list of ours, or the name of a program. Nothing else passes: no name of
a network, device or person, no address, no path, no token, and no text that a board, a program or an error wrote.
"""

from __future__ import annotations

import asyncio
import builtins
import platform
import re
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import microclaw
from microclaw.apps.device_calls import call_device
from microclaw.apps.device_operations import show_device
from microclaw.apps.operations import list_apps
from microclaw.boards.reader import board_ids
from microclaw.cli.options import GlobalOptions
from microclaw.errors import MicroclawError
from microclaw.flash.report import masked_mac, plain_words, report_by_cable, shown_number
from microclaw.link_server.device_facts import LinkState
from microclaw.operations.client import Client
from microclaw.operations.connection import HostError
from microclaw.text import program_name

LINK_WAIT_S: Final = 120.0
_POLL_S: Final = 0.1
_TIMED_CALLS: Final = 5
_MAX_ERRORS: Final = 8
_MAX_DBM: Final = 200
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_FACTS: Final = ("chip", "micropython", "cpu_freq_mhz", "flash_size_mb", "kinds", "uptime_ms")
_MEMORY: Final = {"heap_free": "gc_free", "free_heap": "free", "idf_free": "idf_free", "idf_largest": "idf_largest"}
_FIXED_ERRORS: Final = (
    "took too much memory",
    "crashed",
    "its image is damaged",
    "its record is damaged",
    "its files cannot be read",
    "the newest image is damaged",
    "out of bounds",
    "unreachable",
    "stack overflow",
    "divide by zero",
)
"""What our firmware and WAMR say themselves; of a program's own errors the kind and the line are shown alone."""
_CUT_OFF: Final = frozenset({"outcome_unknown", "device_timeout", "device_unreachable"})
"""What a call is told whose answer the restart took along."""
_KIND: Final = re.compile(r"\b[A-Z][A-Za-z]{2,30}\b")
_LINE: Final = re.compile(r"\bline (\d{1,5})\b")
_ERRNO: Final = re.compile(r"\[Errno (\d{1,3})\]")
_EXCEPTIONS: Final = frozenset(
    name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)
) | {"CancelledError"}


@dataclass(frozen=True, slots=True)
class Check:
    """`outcome`: ok, problem, or why it was not tried. Only words of ours, and numbers."""

    part: str
    outcome: str


@dataclass(slots=True)
class Report:
    """The block, part by part."""

    machine: dict[str, str] = field(default_factory=dict)
    board: dict[str, str] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    memory_of: str = "not measured"
    link: dict[str, str | int] = field(default_factory=dict)
    programs: list[dict[str, str]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)

    def lines(self) -> Iterable[str]:
        yield "microclaw board report 1"
        yield from _section("", self.machine)
        yield from _section("board", self.board)
        yield from _section(f"memory, bytes ({self.memory_of})", self.memory)
        yield from _section("link", self.link)
        yield "programs" if self.programs else "programs: none seen"
        yield from (f"  {one['name']}  {one['state']}  sha256 {one['sha256']}" for one in self.programs)
        yield "last errors" if self.errors else "last errors: none seen"
        yield from (f"  {text}" for text in self.errors)
        yield "checks"
        yield from (f"  {check.part:<14} {check.outcome}" for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        checks = [{"part": check.part, "outcome": check.outcome} for check in self.checks]
        return {
            "machine": self.machine,
            "board": self.board,
            "memory": {"of": self.memory_of, **self.memory},
            "link": self.link,
            "programs": self.programs,
            "errors": self.errors,
            "checks": checks,
        }


def print_report(
    options: GlobalOptions, port: str | None, *, try_pin: int | None, restart: bool, here: Iterable[tuple[str, str]]
) -> None:
    """Look, then print. `here`: the outcome of each check of this machine."""
    report = Report()
    report.machine = {
        "microclaw": microclaw.__version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": plain_words(f"{platform.system()} {platform.release()} {platform.machine()}"),
    }
    wrong = [f"{part} {outcome}" for part, outcome in here if outcome != "ok"]
    report.checks = [Check("this machine", ", ".join(wrong) or "ok")]
    host = options.host()
    name = options.device
    if port is not None:
        name = _by_cable(report, host, port, name)
    if name is not None:
        _by_host(report, host, name, must=options.device is not None, restart=restart, try_pin=try_pin)
    elif try_pin is not None:
        report.checks.append(Check(f"pin {try_pin}", "not tried: no host runs here that knows the board"))
    if options.wrote_json("report", report.to_json()):
        return
    for line in report.lines():
        options.line(line)
    if name is None and port is None:
        options.say("\nthis is this machine alone: for a board add -p PORT, or -d NAME for one that is online")


def error_kind(text: str) -> str:
    """What may be shown of an error: a sentence of the firmware, or kind and line; never the program's own words."""
    fixed = next((known for known in _FIXED_ERRORS if known in text), None)
    kind = next((word for word in _KIND.findall(text) if word in _EXCEPTIONS), None)
    found = fixed or kind or "an error in other words"
    errno, line = _ERRNO.search(text), _LINE.findall(text)
    return f"{found}{f' (errno {errno[1]})' if errno else ''}{f', line {line[-1]}' if line else ''}"


def _code(exc: MicroclawError) -> str:
    return plain_words(exc.failure.code if isinstance(exc, HostError) else exc.code)


def _section(title: str, values: Mapping[str, object]) -> Iterable[str]:
    if title:
        yield title if values else f"{title}: nothing known"
    indent = "  " if title else ""
    yield from (f"{indent}{key:<14} {value}" for key, value in values.items())


def _by_cable(report: Report, host: Client, port: str, device: str | None) -> str | None:
    """What the cable shows, and how long the board takes from its restart to the link. The device's name."""
    from microclaw.firmware_folder import firmware_folder
    from microclaw.flash.board_port import BoardPort
    from microclaw.flash.esptool import Esptool

    place = BoardPort.parse(port)
    before = None if device is None else _connections(host, device)
    found = asyncio.run(report_by_cable(place, Esptool(place), firmware_folder()))
    began = time.monotonic()
    report.board, report.memory = found.board, found.memory
    report.memory_of = "MicroPython alone, our files not started"
    report.checks += (Check(one.part, "ok" if one.ok else f"problem: {one.cause}") for one in found.notes)
    if not all(one.ok for one in found.notes):
        report.checks.append(Check("time to link", "not tried: the board has another problem"))
        return device
    name = device or found.name
    before = before if before is not None else None if name is None else _connections(host, name)
    if name is None or before is None:
        report.checks.append(Check("time to link", "not tried: no host runs here that knows the board"))
        return device
    report.checks.append(Check("time to link", _time_to_link(host, name, before, began)))
    return name


def _by_host(report: Report, host: Client, name: str, *, must: bool, restart: bool, try_pin: int | None) -> None:
    """What the host knows, and what the board answers over its link or address."""
    try:
        device = host.call(show_device, device=name)
    except MicroclawError as exc:
        if must:
            raise
        report.checks.append(Check("host", f"problem ({_code(exc)})"))
        return
    report.board.setdefault("profile", device.board if device.board in board_ids() else "unknown")
    report.board["ways in"] = ", ".join(sorted({plain_words(way.partition(":")[0]) for way in device.transports}))
    link = device.link
    if link is not None:
        report.link = _link_facts(link)
    calls = _Calls(host, name, frozenset(device.capabilities))
    _facts(report, calls)
    report.checks.append(Check("call", _try(calls.timed)))
    if try_pin is not None:
        report.checks.append(Check(f"pin {try_pin}", _try(lambda: calls.try_pin(try_pin))))
    _programs(report, host, name)
    if restart:
        report.checks.append(Check("time to link", _try(lambda: calls.restart(link))))
    elif link is not None and not any(check.part == "time to link" for check in report.checks):
        report.checks.append(Check("time to link", "not tried: --restart restarts the board"))


def _link_facts(link: LinkState) -> dict[str, str | int]:
    facts: dict[str, str | int] = {
        "state": "connected" if link.online else "not connected",
        "firmware": plain_words(link.firmware or "unknown"),
        "reconnects": max(0, link.connections - 1),
    }
    for key, title in (("rtt_ms", "round trip, ms"), ("rssi", "rssi, dBm"), ("refused_events", "refused events")):
        number = shown_number(getattr(link, key), -_MAX_DBM if key == "rssi" else 0)
        if number is not None:
            facts[title] = number
    return facts


def _facts(report: Report, calls: _Calls) -> None:
    try:
        facts = calls.call("device.info")["values"]
    except MicroclawError as exc:
        report.checks.append(Check("device.info", f"problem ({_code(exc)})"))
        return
    for name in _FACTS:
        if name in facts:
            report.board.setdefault(name, plain_words(facts[name]))
    mac = str(facts.get("mac", ""))
    if re.fullmatch(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", mac):
        report.board.setdefault("mac", masked_mac(mac))
    numbers = ((title, shown_number(facts.get(name))) for name, title in _MEMORY.items())
    live = {title: number for title, number in numbers if number is not None}
    if "gc_free" in live:
        live.pop("free", None)  # the same number under its older name
    if live:
        report.memory, report.memory_of = live, "of the running board"


def _programs(report: Report, host: Client, name: str) -> None:
    try:
        apps = host.call(list_apps, device=name).apps
    except MicroclawError as exc:
        report.checks.append(Check("programs", f"problem ({_code(exc)})"))
        return
    for app in apps:
        title, sha256 = program_name(app.name), str(app.sha256 or "")
        known = sha256 if _SHA256.fullmatch(sha256) else "not known to this host"
        report.programs.append({"name": title, "sha256": known, "state": plain_words(app.condition)})
        if app.error and len(report.errors) < _MAX_ERRORS:
            report.errors.append(f"{title}: {error_kind(app.error)}")


def _connections(host: Client, name: str) -> int | None:
    """How often it has connected since the host started; None without a host that has such a device on a link."""
    try:
        link = host.call(show_device, device=name).link
    except MicroclawError:
        return None
    return None if link is None else link.connections


def _time_to_link(host: Client, name: str, before: int, began: float) -> str:
    """From the restart, at time.monotonic() `began`, to the next connection."""
    while time.monotonic() - began < LINK_WAIT_S:
        if (_connections(host, name) or 0) > before:
            return f"ok, {time.monotonic() - began:.1f} s from its restart"
        time.sleep(_POLL_S)
    return f"problem: not connected within {LINK_WAIT_S:.0f} s of its restart"


def _try(check: Callable[[], str]) -> str:
    try:
        return check()
    except MicroclawError as exc:
        return f"problem ({_code(exc)})"


@dataclass(frozen=True, slots=True)
class _Calls:
    """Calls of one device through the host."""

    host: Client
    name: str
    offered: frozenset[str]

    def call(self, method: str, **arguments: Any) -> Any:
        return self.host.call(call_device, device=self.name, method=method, arguments=arguments, wait=False).result

    def timed(self) -> str:
        method = next((known for known in ("device.status", "device.info") if known in self.offered), None)
        if method is None:
            return "not tried: the device offers no such call"
        taken: list[float] = []
        for _ in range(_TIMED_CALLS):
            began = time.perf_counter()
            self.call(method)
            taken.append(time.perf_counter() - began)
        low, middle, high = (round(s * 1000, 1) for s in (min(taken), statistics.median(taken), max(taken)))
        return f"ok, {len(taken)} times, {middle:g} ms ({low:g} to {high:g})"

    def try_pin(self, pin: int) -> str:
        if not {"gpio.set", "gpio.get"} <= self.offered:
            return "not tried: the device has no pins at once"
        levels: list[int] = []
        for level in (1, 0):
            self.call("gpio.set", pin=pin, level=level)
            levels.append(int(self.call("gpio.get", pin=pin)["level"]))
        return "ok, set to 1 and 0, read as 1 and 0" if levels == [1, 0] else f"problem: set to 1, 0, read as {levels}"

    def restart(self, link: LinkState | None) -> str:
        if link is None or not link.online or "device.restart" not in self.offered:
            return "not tried: the device is on no link, or cannot be restarted over it"
        began = time.monotonic()
        try:
            self.call("device.restart")
        except MicroclawError as exc:
            if _code(exc) not in _CUT_OFF:
                raise
        return _time_to_link(self.host, self.name, link.connections, began)
