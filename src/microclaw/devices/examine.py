"""Reaches a device now, by each of its transports, and says what it is. It changes nothing there."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from msgspec import Struct
from msgspec.structs import replace

from microclaw.devices.calls import AppEntry, AppList, Call, ConsoleRead, DeviceFacts, DeviceInfo, DeviceStatus
from microclaw.devices.transport import Transport
from microclaw.errors import MicroclawError
from microclaw.operations.result import Result
from microclaw.text import clean_text, format_duration, program_name

if TYPE_CHECKING:
    from microclaw.devices.device import Device

REACH_S: Final = 8.0
FURTHER_S: Final = 4.0  # a device that has answered once
_ESPRESSIF: Final = re.compile(r"esp32(?:[schp]\d)?")
_SHOWN_CHARS: Final = 80
_SHOWN_PROGRAMS: Final = 16
_QUESTIONS: Final[tuple[type[Call[Any]], ...]] = (DeviceInfo, DeviceStatus, AppList)
_VERSIONS: Final = ("version", "firmware_version", "micropython")
_FREE: Final = {"free_heap": 1, "heap_free": 1, "idf_free": 1, "free_heap_kb": 1024}
_PROTOCOLS: Final = {
    "link:": "microclaw's link, version 1",
    "serial:": "JSON lines",
    "console:": "its serial console, read only",
    "virtual:": "a virtual board's control",
    "xiaozhi:": "xiaozhi's WebSocket",
}


class CheckLine(Struct, frozen=True):
    """One line of what was found; `next_step` says what to do where it is not ok."""

    part: str
    ok: bool
    text: str
    next_step: str | None = None


class TransportReach(Struct, frozen=True):
    """`ms` is the time to its first answer; `problem` is why there was none."""

    endpoint: str
    reached: bool
    ms: float | None
    problem: str | None = None
    next_step: str | None = None


class Examination(Result, frozen=True, kw_only=True, rename={"findings": "lines"}):
    """`ok`: all lines are. `programs` is None where the device lists none, `free_bytes` and `uptime_ms` where it does
    not say.
    """

    document: ClassVar = "check"

    ok: bool
    reached: bool
    device: str
    transports: tuple[TransportReach, ...]
    programs: tuple[str, ...] | None
    firmware: str | None
    free_bytes: int | None
    uptime_ms: int | None
    findings: tuple[CheckLine, ...]

    @property
    def exit_code(self) -> int:
        return int(not self.ok)

    def lines(self) -> Iterable[str]:
        return lines_of(self.findings)


def lines_of(found: Iterable[CheckLine]) -> Iterable[str]:
    """As text, below each line what to do."""
    for one in found:
        yield f"{one.part:<12} {one.text}{'' if one.ok else '   problem'}"
        if one.next_step:
            yield f"{'':12} next: {one.next_step}"


async def examine(device: Device, *, also: Sequence[CheckLine] = (), knows_board: bool = True) -> Examination:
    """Ask every transport; the time-outs bound it, and what fails is a line.

    `also` are lines that the host itself knows; without `knows_board` nobody said which profile the board has.
    """
    ways: list[TransportReach] = []
    values: dict[str, str | int | float | bool] = {}
    programs: tuple[str, ...] | None = None
    answers: list[DeviceFacts | tuple[AppEntry, ...]] = []
    silent: list[CheckLine] = []
    consoles: list[CheckLine] = []
    for transport in device.transports:
        if ConsoleRead.method in transport.capabilities:
            consoles.append(await _console_line(device, transport))
            continue
        ways.append(await _ask(device, transport, answers, silent))
    for answer in answers:
        if isinstance(answer, DeviceFacts):
            values = {**answer.values, **values}
        else:
            programs = tuple(program_name(app.name) for app in answer)
    found = Examination(
        ok=False,
        reached=any(way.reached for way in ways),
        device=device.name,
        transports=tuple(ways),
        programs=programs,
        firmware=_firmware(values),
        free_bytes=_free_bytes(values),
        uptime_ms=_uptime_ms(values),
        findings=(),
    )
    device.examined(reached=found.reached)
    lines = [*(_way_lines(ways) if ways or not consoles else ()), *silent, *consoles]
    if found.reached:
        lines += _facts_lines(device, values.get("chip"), found, knows_board=knows_board)
    lines += also
    return replace(found, ok=all(line.ok for line in lines), findings=tuple(lines))


async def _ask(
    device: Device, transport: Transport, answers: list[DeviceFacts | tuple[AppEntry, ...]], troubles: list[CheckLine]
) -> TransportReach:
    """The first answer is timed; what it does not answer after that is a line each in `troubles`."""
    endpoint = transport.endpoint
    if not transport.online:
        if transport.revoked:
            from microclaw.devices.device import revoked_text

            return TransportReach(endpoint, False, None, *revoked_text(device.name))
        step = f"switch it on; when it was last here: microclaw device show {device.name}"
        return TransportReach(endpoint, False, None, "it is not connected", step)
    questions = [kind() for kind in _QUESTIONS if kind.method in transport.capabilities]
    if not questions:
        online = transport.connects_itself
        why = None if online else "it connects only while it is spoken to, and answers no question of a host"
        return TransportReach(endpoint, online, None, why)
    took_ms: float | None = None
    for call in questions:
        began = time.perf_counter()
        try:
            answer = await device.ask(endpoint, call, REACH_S if took_ms is None else FURTHER_S)
        except MicroclawError as exc:
            if took_ms is None:
                return TransportReach(endpoint, False, None, exc.message, exc.next_step)
            troubles.append(CheckLine(call.method, False, exc.message, exc.next_step))
            continue
        took_ms = took_ms or (time.perf_counter() - began) * 1000
        answers.append(answer)
    return TransportReach(endpoint, True, took_ms and round(took_ms, 1))


async def _console_line(device: Device, transport: Transport) -> CheckLine:
    """Check that the port opens. That reaches a cable, and not yet the board."""
    try:
        page = await device.ask(transport.endpoint, ConsoleRead(), FURTHER_S)
    except MicroclawError as exc:
        return CheckLine("console", False, exc.message, exc.next_step)
    if page.problem is not None:
        return CheckLine("console", False, page.problem, "is the cable in and the board powered?")
    return CheckLine("console", True, f"{transport.endpoint}: opens; read it: microclaw logs {device.name} --console")


def _way_lines(ways: Sequence[TransportReach]) -> list[CheckLine]:
    if not ways:
        return [CheckLine("reach", False, "it has no transport", "give it an address: microclaw device add NAME")]
    return [
        CheckLine("reach", True, f"{way.endpoint}: reached{'' if way.ms is None else f' in {way.ms:.0f} ms'}")
        if way.reached
        else CheckLine("reach", False, f"{way.endpoint}: not reached: {way.problem}", way.next_step)
        for way in ways
    ]


def _facts_lines(device: Device, chip: object, found: Examination, *, knows_board: bool) -> list[CheckLine]:
    lines = [CheckLine("firmware", True, found.firmware or "it does not say which")]
    if isinstance(chip, str):
        has = clean_text(chip, one_line=True, limit=_SHOWN_CHARS)
        same = not knows_board or _family(chip) == _family(device.board.chip)
        step = "is it another board? microclaw device remove it, and add it with the right --board"
        lines.append(
            CheckLine("chip", True, has)
            if same
            else CheckLine("chip", False, f"it says {has}, its profile is for {device.board.chip}", step)
        )
    programs = found.programs
    if programs is not None:
        shown = ", ".join(programs[:_SHOWN_PROGRAMS]) or "none"
        lines.append(CheckLine("programs", True, f"{shown} ({len(programs)} of {device.board.firmware.max_apps})"))
    if found.free_bytes is None:
        free = "it does not say"
    else:
        free = f"{found.free_bytes:,} bytes free"
    if found.uptime_ms is None:
        up = "it does not say"
    else:
        up = f"up {format_duration(found.uptime_ms)}"
    lines += [CheckLine("memory", True, free), CheckLine("uptime", True, up)]
    lines += [CheckLine("protocol", True, _protocol(device, endpoint)) for endpoint in device.endpoints]
    lines.append(CheckLine("can", True, ", ".join(sorted(device.capabilities)) or "only be spoken to"))
    return lines


def _protocol(device: Device, endpoint: str) -> str:
    for scheme, text in _PROTOCOLS.items():
        if endpoint.startswith(scheme):
            return text
    generation = device.board.firmware.attribute_generation
    return f"WASMachine's application manager; attributes of the {generation} kind, as its description says"


def _firmware(values: Mapping[str, str | int | float | bool]) -> str | None:
    parts = [values.get("firmware"), *(values.get(key) for key in _VERSIONS)]
    words = [clean_text(str(part), one_line=True, limit=_SHOWN_CHARS) for part in parts if part]
    return ", ".join(words) or None


def _free_bytes(values: Mapping[str, str | int | float | bool]) -> int | None:
    found = (_whole(values.get(key), factor) for key, factor in _FREE.items())
    return next((value for value in found if value is not None), None)


def _uptime_ms(values: Mapping[str, str | int | float | bool]) -> int | None:
    found = _whole(values.get("uptime_ms"), 1)
    if found is not None:
        return found
    return _whole(values.get("uptime_s"), 1000)


def _whole(value: object, factor: int) -> int | None:
    """A device's number, where it can be one: not negative, and of a size that JSON readers keep."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**43:
        return None
    return round(value * factor)


def _family(chip: str) -> str:
    """ "ESP32-S3 (QFN56)" and "esp32s3" are one."""
    plain = "".join(each for each in chip.lower() if each.isalnum())
    match = _ESPRESSIF.match(plain)
    if match:
        return match[0]
    return plain
