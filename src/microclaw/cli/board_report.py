"""`microclaw doctor --report`: one block of plain text about this machine and a board, to paste where others read it.

Every value is a number, a digest, a word from a list of ours, or the name of a program. Nothing else passes: no name of
a network, device or person, no address, no path, no token, and no text that a board, a program or an error wrote.
"""

from __future__ import annotations

import asyncio
import platform
import re
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

import microclaw
from microclaw.apps.device_calls import call_device
from microclaw.apps.device_operations import show_device
from microclaw.apps.operations import list_apps
from microclaw.boards.reader import board_ids
from microclaw.cli.options import GlobalOptions
from microclaw.errors import MicroclawError
from microclaw.findings import Finding
from microclaw.firmware_folder import firmware_folder
from microclaw.flash.board_port import BoardPort
from microclaw.flash.esptool import Esptool
from microclaw.flash.report import CableReport, masked_mac, plain_words, report_by_cable, shown_number
from microclaw.link_server.device_facts import LinkState
from microclaw.operations.client import Client
from microclaw.operations.connection import HostError
from microclaw.text import program_name

_TIMED_CALLS: Final = 5
_MAX_DBM: Final = 200
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_MAC: Final = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")
_FACTS: Final = ("chip", "micropython", "cpu_freq_mhz", "flash_size_mb", "kinds", "uptime_ms")
_MEMORY: Final = {"heap_free": "gc_free", "free_heap": "free", "idf_free": "idf_free", "idf_largest": "idf_largest"}

Facts: TypeAlias = dict[str, Any]


def print_report(options: GlobalOptions, port: str | None, findings: Iterable[Finding]) -> None:
    """Look, then print. `findings` are of this machine."""
    machine = {
        "microclaw": microclaw.__version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": plain_words(f"{platform.system()} {platform.release()} {platform.machine()}"),
    }
    wrong = [f"{one.part} {one.verdict}" for one in findings if one.verdict != "ok" and one.part != "device"]
    checks = {"this machine": ", ".join(wrong) or "ok"}
    report: Facts = {"machine": machine, "board": {}, "memory": {}, "link": {}, "programs": [], "checks": checks}
    name = options.device
    if port is not None:
        found = look_by_cable(port)
        report |= {"board": found.board, "memory": {"of": "MicroPython alone", **found.memory}}
        checks |= {note.part: "ok" if note.ok else f"problem: {note.cause}" for note in found.notes}
        name = name or (found.name if all(note.ok for note in found.notes) else None)
    if name is not None:
        try:
            _by_host(report, options.host(), name)
        except MicroclawError as exc:
            if options.device is not None:
                raise
            checks["host"] = f"problem ({_code(exc)})"
    report["checks"] = [{"part": part, "outcome": outcome} for part, outcome in checks.items()]
    options.end_with_json("report", report)
    options.line("microclaw board report 1")
    for title, section in report.items():
        options.line(title if section else f"{title}: nothing known")
        rows = section.items() if isinstance(section, dict) else (one.values() for one in section)
        for first, *rest in rows:
            options.line(f"  {first:<14} {'  '.join(map(str, rest))}")
    if name is None and port is None:
        options.say("\nthis is this machine alone: for a board add -p PORT, or -d NAME for one that is online")


def look_by_cable(port: str) -> CableReport:
    place = BoardPort.parse(port)
    return asyncio.run(report_by_cable(place, Esptool(place), firmware_folder()))


def _by_host(report: Facts, host: Client, name: str) -> None:
    """Check what the host knows, and what the board answers over its link or address."""
    device = host.call(show_device, device=name)
    report["board"].setdefault("profile", device.board if device.board in board_ids() else "unknown")
    report["board"]["ways in"] = ", ".join(sorted({plain_words(way.partition(":")[0]) for way in device.transports}))
    if device.link is not None:
        report["link"] = _link(device.link)

    def ask(method: str) -> Any:
        return host.call(call_device, device=name, method=method, wait=False).result

    methods = [one for one in ("device.status", "device.info") if one in device.capabilities]
    looks: Mapping[str, Callable[[], str]] = {
        "device.info": lambda: _facts(report, ask("device.info")["values"]),
        "call": lambda: _timed(ask, methods[0]) if methods else "not tried: the device offers no such call",
        "programs": lambda: _programs(report, host, name),
    }
    for part, look in looks.items():
        try:
            report["checks"][part] = look()
        except MicroclawError as exc:
            report["checks"][part] = f"problem ({_code(exc)})"


def _code(exc: MicroclawError) -> str:
    return plain_words(exc.failure.code if isinstance(exc, HostError) else exc.code)


def _link(link: LinkState) -> Facts:
    state = {"state": "connected" if link.online else "not connected", "firmware": plain_words(link.firmware)}
    numbers = {"reconnects": max(0, link.connections - 1), "rssi, dBm": shown_number(link.rssi, -_MAX_DBM)}
    numbers |= {"round trip, ms": shown_number(link.rtt_ms), "refused events": shown_number(link.refused_events)}
    return state | {title: number for title, number in numbers.items() if number is not None}


def _facts(report: Facts, facts: Mapping[str, Any]) -> str:
    for name in (one for one in _FACTS if one in facts):
        report["board"].setdefault(name, plain_words(facts[name]))
    if _MAC.fullmatch(mac := str(facts.get("mac", ""))):
        report["board"].setdefault("mac", masked_mac(mac))
    numbers = ((title, shown_number(facts.get(name))) for name, title in _MEMORY.items())
    if live := {title: number for title, number in numbers if number is not None}:
        report["memory"] = {"of": "the running board", **live}
    return "ok"


def _timed(ask: Callable[[str], Any], method: str) -> str:
    taken: list[float] = []
    for _ in range(_TIMED_CALLS):
        began = time.perf_counter()
        ask(method)
        taken.append(time.perf_counter() - began)
    low, middle, high = (round(s * 1000, 1) for s in (min(taken), statistics.median(taken), max(taken)))
    return f"ok, {len(taken)} times, {middle:g} ms ({low:g} to {high:g})"


def _programs(report: Facts, host: Client, name: str) -> str:
    for app in host.call(list_apps, device=name).apps:
        known = app.sha256 if _SHA256.fullmatch(app.sha256 or "") else "not known to this host"
        state = plain_words(app.condition)
        report["programs"].append({"name": program_name(app.name), "state": state, "sha256": known})
    return "ok"
