"""Asks a device now, by each of its transports, and describes it. It changes nothing there."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from msgspec import Struct
from msgspec.structs import replace

from microclaw.devices.registry.calls import (
    AppEntry,
    AppList,
    Call,
    ConsoleRead,
    DeviceFacts,
    DeviceInfo,
    DeviceStatusRead,
)
from microclaw.devices.registry.transport import Transport
from microclaw.errors import MicroclawError
from microclaw.host.operations.result import Result
from microclaw.text import clean_text, format_duration, program_name

if TYPE_CHECKING:
    from microclaw.devices.registry.device import Device

REACH_S: Final = 8.0
# The limit of the further questions to a device that has answered once.
FURTHER_S: Final = 4.0
_ESPRESSIF: Final = re.compile(r"esp32(?:[schp]\d)?")
_SHOWN_CHARS: Final = 80
_SHOWN_PROGRAMS: Final = 16
_QUESTIONS: Final[tuple[type[Call[Any]], ...]] = (DeviceInfo, DeviceStatusRead, AppList)
_VERSIONS: Final = ("version", "firmware_version", "micropython")
# The names that firmware gives to free memory, and how many bytes one unit of each is.
_FREE: Final = {"free_heap": 1, "heap_free": 1, "idf_free": 1, "free_heap_kb": 1024}
_PROTOCOLS: Final = {
    "link:": "microclaw's link, version 1",
    "serial:": "JSON lines",
    "console:": "its serial console, read only",
    "virtual:": "a virtual board's control",
    "xiaozhi:": "xiaozhi's WebSocket",
}


class CheckLine(Struct, frozen=True):
    """One line of a result; `next_step` says what to do if it is not ok."""

    part: str
    ok: bool
    text: str
    next_step: str | None = None


class TransportReach(Struct, frozen=True):
    """Whether one transport reaches its device.

    `ms` is the time to the first answer; `problem` is why there was none.
    """

    endpoint: str
    reached: bool
    ms: float | None
    problem: str | None = None
    next_step: str | None = None


class Examination(Result, frozen=True, kw_only=True, rename={"findings": "lines"}):
    """The result of examining a device.

    `ok` is True if all lines are. `programs` is None if the device lists none; `free_bytes` and `uptime_ms` are None if
    it does not report them.
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
        """Return the result as text."""
        return lines_of(self.findings)


def lines_of(found: Iterable[CheckLine]) -> Iterable[str]:
    """Yield the lines as text, each with its next step below it."""
    for line in found:
        mark = "" if line.ok else "   problem"
        yield f"{line.part:<12} {line.text}{mark}"
        if line.next_step:
            yield f"{'':12} next: {line.next_step}"


async def examine(device: Device, *, also: Sequence[CheckLine] = ()) -> Examination:
    """Ask every transport; the time-outs limit it, and each failure is a line.

    `also` are lines that the host itself has.
    """
    asking = _Asking(device)
    for transport in device.transports:
        await asking.ask(transport)
    values = asking.facts()
    examination = Examination(
        ok=False,
        reached=any(way.reached for way in asking.ways),
        device=device.name,
        transports=tuple(asking.ways),
        programs=asking.programs(),
        firmware=_firmware(values),
        free_bytes=_free_bytes(values),
        uptime_ms=_uptime_ms(values),
        findings=(),
    )
    device.note_examination(reached=examination.reached)
    lines = asking.lines()
    if examination.reached:
        lines += _facts_lines(device, values.get("chip"), examination)
    lines += also
    return replace(examination, ok=all(line.ok for line in lines), findings=tuple(lines))


class _Asking:
    """The answers of a device's transports, and the lines about failed transports."""

    def __init__(self, device: Device) -> None:
        self.ways: list[TransportReach] = []
        self._device = device
        self._answers: list[DeviceFacts | tuple[AppEntry, ...]] = []
        self._failures: list[CheckLine] = []
        self._consoles: list[CheckLine] = []

    def facts(self) -> Mapping[str, str | int | float | bool]:
        """Return the facts of all answers; of a fact that two have, the first counts."""
        values: dict[str, str | int | float | bool] = {}
        for answer in self._answers:
            if isinstance(answer, DeviceFacts):
                values = {**answer.values, **values}
        return values

    def programs(self) -> tuple[str, ...] | None:
        """Return the programs of the last list, or None if no transport lists any."""
        programs = None
        for answer in self._answers:
            if not isinstance(answer, DeviceFacts):
                programs = tuple(program_name(app.name) for app in answer)
        return programs

    def lines(self) -> list[CheckLine]:
        """Return a line for each transport, for each question without an answer, and for each console."""
        way_lines = [_way_line(way) for way in self.ways]
        if not way_lines and not self._consoles:
            way_lines = [_problem("reach", "it has no transport", "give it an address: microclaw device add NAME")]
        return [*way_lines, *self._failures, *self._consoles]

    async def ask(self, transport: Transport) -> None:
        """Ask a transport all it can answer, or open its console."""
        if ConsoleRead.method in transport.capabilities:
            self._consoles.append(await _open_console(self._device, transport))
        elif not transport.online:
            self.ways.append(self._away(transport))
        else:
            self.ways.append(await self._ask_questions(transport))

    def _away(self, transport: Transport) -> TransportReach:
        if transport.revoked:
            # device.py imports transports, and they import this module's lines.
            from microclaw.devices.registry.device import revoked_text

            problem, step = revoked_text(self._device.name)
        else:
            problem = "it is not connected"
            step = f"switch it on; when it was last here: microclaw device show {self._device.name}"
        return TransportReach(transport.endpoint, reached=False, ms=None, problem=problem, next_step=step)

    async def _ask_questions(self, transport: Transport) -> TransportReach:
        endpoint = transport.endpoint
        questions = [call_type() for call_type in _QUESTIONS if call_type.method in transport.capabilities]
        if not questions:
            return _silent_way(transport)
        first_ms: float | None = None
        for call in questions:
            started_s = time.perf_counter()
            limit_s = REACH_S if first_ms is None else FURTHER_S
            try:
                answer = await self._device.ask(endpoint, call, limit_s)
            except MicroclawError as exc:
                if first_ms is None:
                    return TransportReach(
                        endpoint, reached=False, ms=None, problem=exc.message, next_step=exc.next_step
                    )
                self._failures.append(_problem(call.method, exc.message, exc.next_step))
                continue
            if first_ms is None:
                first_ms = round((time.perf_counter() - started_s) * 1000, 1)
            self._answers.append(answer)
        return TransportReach(endpoint, reached=True, ms=first_ms)


def _silent_way(transport: Transport) -> TransportReach:
    """Return the result for a device that answers no question of a host: only a connection shows that it is there."""
    if transport.connects_itself:
        return TransportReach(transport.endpoint, reached=True, ms=None)
    problem = "it connects only while it is spoken to, and answers no question of a host"
    return TransportReach(transport.endpoint, reached=False, ms=None, problem=problem)


async def _open_console(device: Device, transport: Transport) -> CheckLine:
    """Check that the port opens. That reaches a cable, and not yet the board."""
    try:
        page = await device.ask(transport.endpoint, ConsoleRead(), FURTHER_S)
    except MicroclawError as exc:
        return _problem("console", exc.message, exc.next_step)
    if page.problem is not None:
        return _problem("console", page.problem, "is the cable in and the board powered?")
    return _fine("console", f"{transport.endpoint}: opens; read it: microclaw logs {device.name} --console")


def _fine(part: str, text: str) -> CheckLine:
    return CheckLine(part, ok=True, text=text)


def _problem(part: str, text: str, next_step: str | None) -> CheckLine:
    return CheckLine(part, ok=False, text=text, next_step=next_step)


def _way_line(way: TransportReach) -> CheckLine:
    if not way.reached:
        return _problem("reach", f"{way.endpoint}: not reached: {way.problem}", way.next_step)
    if way.ms is None:
        return _fine("reach", f"{way.endpoint}: reached")
    return _fine("reach", f"{way.endpoint}: reached in {way.ms:.0f} ms")


def _facts_lines(device: Device, chip: object, examination: Examination) -> list[CheckLine]:
    lines = [_fine("firmware", examination.firmware or "it does not say which")]
    if isinstance(chip, str):
        lines.append(_chip_line(device, chip))
    programs = examination.programs
    if programs is not None:
        names = ", ".join(programs[:_SHOWN_PROGRAMS]) or "none"
        lines.append(_fine("programs", f"{names} ({len(programs)} of {device.board.firmware.max_apps})"))
    memory = "it does not say"
    if examination.free_bytes is not None:
        memory = f"{examination.free_bytes:,} bytes free"
    lines.append(_fine("memory", memory))
    uptime = "it does not say"
    if examination.uptime_ms is not None:
        uptime = f"up {format_duration(examination.uptime_ms)}"
    lines.append(_fine("uptime", uptime))
    lines += [_fine("protocol", _protocol(device, endpoint)) for endpoint in device.endpoints]
    lines.append(_fine("can", ", ".join(sorted(device.capabilities)) or "only be spoken to"))
    return lines


def _chip_line(device: Device, chip: str) -> CheckLine:
    chip_text = clean_text(chip, one_line=True, limit=_SHOWN_CHARS)
    if _family(chip) == _family(device.board.chip):
        return _fine("chip", chip_text)
    step = "is it another board? microclaw device remove it, and add it with the right --board"
    return _problem("chip", f"it says {chip_text}, its profile is for {device.board.chip}", step)


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
    for key, factor in _FREE.items():
        free_bytes = _whole(values.get(key), factor)
        if free_bytes is not None:
            return free_bytes
    return None


def _uptime_ms(values: Mapping[str, str | int | float | bool]) -> int | None:
    uptime_ms = _whole(values.get("uptime_ms"), 1)
    if uptime_ms is not None:
        return uptime_ms
    return _whole(values.get("uptime_s"), 1000)


def _whole(value: object, factor: int) -> int | None:
    """Return a device's number times `factor`, or None if it is negative or too large for readers of JSON."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # 2 to the 43 times 1024 is 2 to the 53, up to which a JSON reader keeps every whole number.
    if not 0 <= value < 2**43:
        return None
    return round(value * factor)


def _family(chip: str) -> str:
    """Return the same text for "ESP32-S3 (QFN56)" and "esp32s3"."""
    letters = "".join(letter for letter in chip.lower() if letter.isalnum())
    match = _ESPRESSIF.match(letters)
    return match[0] if match else letters
