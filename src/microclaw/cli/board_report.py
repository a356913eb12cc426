"""`microclaw doctor --report`: one block of plain text about this machine and a board, to paste where others read it.

Every value is a number, a digest, a word from a list of ours, or the name of a program. Nothing else passes: no name of
a network, device or person, no address, no path, no token, and no text that a board, a program or an error wrote.
"""

from __future__ import annotations

import asyncio
import platform
import re
from collections.abc import Iterable
from typing import Any, Final

import microclaw
from microclaw.apps.device_calls import call_device
from microclaw.apps.device_operations import show_device
from microclaw.apps.operations import list_apps
from microclaw.boards.reader import board_ids
from microclaw.cli.options import GlobalOptions
from microclaw.devices.calls import DeviceInfo
from microclaw.errors import MicroclawError
from microclaw.findings import Finding
from microclaw.firmware_folder import firmware_folder
from microclaw.flash.board_port import BoardPort
from microclaw.flash.esptool import Esptool
from microclaw.flash.report import CableReport, Facts, masked_mac, plain_words, report_by_cable, shown_number
from microclaw.operations.client import Client
from microclaw.text import program_name

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_FACTS: Final = ("chip", "micropython", "cpu_freq_mhz", "flash_size_mb", "kinds", "uptime_ms")
_MEMORY: Final = ("free_heap", "idf_free", "idf_largest")


def print_report(options: GlobalOptions, port: str | None, findings: Iterable[Finding]) -> None:
    """Look, then print. `findings` are of this machine."""
    machine = {
        "microclaw": microclaw.__version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": plain_words(f"{platform.system()} {platform.release()} {platform.machine()}"),
    }
    wrong = [f"{one.part} {one.verdict}" for one in findings if one.verdict != "ok" and one.part != "device"]
    checks: Facts = {"this machine": ", ".join(wrong) or "ok"}
    board: Facts = {}
    programs: Facts = {}
    name = options.device
    if port is not None:
        found = look_by_cable(port)
        board |= found.board
        checks |= {note.part: "ok" if note.ok else f"problem: {note.cause}" for note in found.notes}
        name = name or (found.name if all(note.ok for note in found.notes) else None)
    if name is not None:
        try:
            _by_host(options.host(), name, board, programs, checks)
        except MicroclawError as exc:
            if options.device is not None:
                raise
            checks["over the host"] = f"problem ({plain_words(exc.code)})"
    board = {about: value for about, value in board.items() if value is not None}
    report = {"machine": machine, "board": board, "programs": programs, "checks": checks}
    options.end_with_json("report", report)
    options.line("microclaw board report 1")
    for title, section in report.items():
        options.line(title if section else f"{title}: nothing known")
        for about, value in section.items():
            options.line(f"  {about:<14} {value}")
    if name is None and port is None:
        options.say("\nthis is this machine alone: for a board add -p PORT, or -d NAME for one that is online")


def look_by_cable(port: str) -> CableReport:
    place = BoardPort.parse(port)
    return asyncio.run(report_by_cable(place, Esptool(place), firmware_folder()))


def _by_host(host: Client, name: str, board: Facts, programs: Facts, checks: Facts) -> None:
    """Look at what the host knows, and at what the board answers over its link or address, if it does."""
    device = host.call(show_device, device=name)
    board.setdefault("profile", device.board if device.board in board_ids() else "unknown")
    board["ways in"] = ", ".join(sorted({plain_words(way.partition(":")[0]) for way in device.transports}))
    link = device.link
    if link is not None:
        board |= {"link": "connected" if link.online else "not connected", "firmware": plain_words(link.firmware)}
        board |= {"connections": link.connections, "rssi, dBm": shown_number(link.rssi, -200)}
        board |= {"round trip, ms": shown_number(link.rtt_ms), "refused events": shown_number(link.refused_events)}

    def ask_facts() -> None:
        facts: Any = host.call(call_device, device=name, method=DeviceInfo.method, wait=False).result["values"]
        for fact in (one for one in (*_FACTS, *_MEMORY) if one in facts):
            board.setdefault(fact, plain_words(facts[fact]))
        board.setdefault("mac", masked_mac(facts["mac"]) if "mac" in facts else None)

    def list_programs() -> None:
        for app in host.call(list_apps, device=name).apps:
            known = app.sha256 if _SHA256.fullmatch(app.sha256 or "") else "not known to this host"
            programs[program_name(app.name)] = f"{plain_words(app.condition)}  {known}"

    checks["over the host"] = "ok"
    for look in (ask_facts, list_programs) if DeviceInfo.method in device.capabilities else (list_programs,):
        try:
            look()
        except MicroclawError as exc:
            checks["over the host"] = f"problem ({plain_words(exc.code)})"
