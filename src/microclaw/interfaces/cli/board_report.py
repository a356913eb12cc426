"""`microclaw doctor --report`: one block of plain text about this machine and a board, to paste for others to read.

Every value is a number, a digest, a word from a list of ours, or the name of a program. Nothing else is printed: no
name of a network, device or person, no address, no path, no token, and no text that a board, program or error wrote.
"""

from __future__ import annotations

import asyncio
import platform
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import asdict

import microclaw
from microclaw.devices.flash.board_port import BoardPort
from microclaw.devices.flash.esptool import Esptool
from microclaw.devices.flash.report import CableReport, Facts, masked_mac, plain_words, report_by_cable, shown_number
from microclaw.devices.link.results import ListedDevice
from microclaw.devices.registry.calls import DeviceInfo
from microclaw.errors import MicroclawError
from microclaw.findings import Finding
from microclaw.hardware.boards.reader import board_ids
from microclaw.hardware.firmware_folder import firmware_folder
from microclaw.host.operations.client import Client
from microclaw.interfaces.cli.options import GlobalOptions
from microclaw.programs.changes.device_calls import call_device
from microclaw.programs.changes.device_operations import show_device
from microclaw.programs.changes.operations import list_apps
from microclaw.text import program_name

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_FACTS: Final = ("chip", "micropython", "cpu_freq_mhz", "flash_size_mb", "kinds", "uptime_ms")
_MEMORY: Final = ("free_heap", "idf_free", "idf_largest")


class _Report(Struct):
    """The sections of the report, each with values by their titles."""

    machine: Facts
    board: Facts
    programs: Facts
    checks: Facts


def print_report(options: GlobalOptions, port: str | None, findings: Iterable[Finding]) -> None:
    """Look at the board of -p or -d, then print the report; `findings` are about this machine."""
    report = _Report(machine=_describe_machine(), board={}, programs={}, checks=_summarize(findings))
    name = options.device
    if port is not None:
        cable_name = _add_cable(report, port)
        name = name or cable_name
    if name is not None:
        _add_host(report, options, name)
    report.board = {title: value for title, value in report.board.items() if value is not None}
    _print_sections(options, report)
    if name is None and port is None:
        options.say("\nthis report is only about this machine: for a board add -p PORT, or -d NAME if it is online")


def look_by_cable(port: str) -> CableReport:
    """Return what the board on a serial port reports about itself."""
    board_port = BoardPort.parse(port)
    return asyncio.run(report_by_cable(board_port, Esptool(board_port), firmware_folder()))


def _describe_machine() -> Facts:
    return {
        "microclaw": microclaw.__version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": plain_words(f"{platform.system()} {platform.release()} {platform.machine()}"),
    }


def _summarize(findings: Iterable[Finding]) -> Facts:
    """Name the findings about this machine that are not "ok"; texts of findings may hold private data."""
    faults = []
    for finding in findings:
        if finding.verdict != "ok" and finding.part != "device":
            faults.append(f"{finding.part} {finding.verdict}")
    return {"this machine": ", ".join(faults) or "ok"}


def _add_cable(report: _Report, port: str) -> str | None:
    """Add the board on a serial port to the report. Return its name if all checks succeeded."""
    cable = look_by_cable(port)
    report.board |= cable.board
    for note in cable.notes:
        report.checks[note.part] = "ok" if note.ok else f"problem: {note.cause}"
    if all(note.ok for note in cable.notes):
        return cable.name
    return None


def _add_host(report: _Report, options: GlobalOptions, name: str) -> None:
    """Add the host's knowledge of a device to the report. An error is a finding, unless -d named the device."""
    try:
        _look_by_host(report, options.host(), name)
    except MicroclawError as exc:
        if options.device is not None:
            raise
        report.checks["over the host"] = _describe_problem(exc)


def _look_by_host(report: _Report, host: Client, name: str) -> None:
    """Add the host's facts about a device, and what the board answers over its link or address, if it does."""
    device = host.call(show_device, device=name)
    _add_device(report.board, device)
    report.checks["over the host"] = "ok"
    if DeviceInfo.method in device.capabilities:
        try:
            info: Any = host.call(call_device, device=name, method=DeviceInfo.method, wait=False).result["values"]
            _add_info(report.board, info)
        except MicroclawError as exc:
            report.checks["over the host"] = _describe_problem(exc)
    try:
        _add_programs(report.programs, host, name)
    except MicroclawError as exc:
        report.checks["over the host"] = _describe_problem(exc)


def _add_device(board: Facts, device: ListedDevice) -> None:
    schemes = {plain_words(address.partition(":")[0]) for address in device.transports}
    board.setdefault("profile", device.board if device.board in board_ids() else "unknown")
    board["ways in"] = ", ".join(sorted(schemes))
    link = device.link
    if link is None:
        return
    board["link"] = "connected" if link.online else "not connected"
    board["firmware"] = plain_words(link.firmware)
    board["connections"] = link.connections
    board["rssi, dBm"] = shown_number(link.rssi, -200)
    board["round trip, ms"] = shown_number(link.rtt_ms)
    board["refused events"] = shown_number(link.refused_events)


def _add_info(board: Facts, info: Mapping[str, Any]) -> None:
    """Add the board's own answer. Facts that came by the cable stay."""
    for fact in (*_FACTS, *_MEMORY):
        if fact in info:
            board.setdefault(fact, plain_words(info[fact]))
    mac = masked_mac(info["mac"]) if "mac" in info else None
    board.setdefault("mac", mac)


def _add_programs(programs: Facts, host: Client, name: str) -> None:
    for app in host.call(list_apps, device=name).apps:
        digest = app.sha256 or ""
        if not _SHA256.fullmatch(digest):
            digest = "not known to this host"
        programs[program_name(app.name)] = f"{plain_words(app.condition)}  {digest}"


def _describe_problem(error: MicroclawError) -> str:
    """Return an error's code: its message may hold private data."""
    return f"problem ({plain_words(error.code)})"


def _print_sections(options: GlobalOptions, report: _Report) -> None:
    sections = asdict(report)
    options.end_with_json("report", sections)
    options.line("microclaw board report 1")
    for title, section in sections.items():
        options.line(title if section else f"{title}: nothing known")
        for name, value in section.items():
            options.line(f"  {name:<14} {value}")
