"""The acts of how devices and their programs failed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec import Meta, Struct
from msgspec.structs import replace

from microclaw.host.operations.forms import CommandForm
from microclaw.host.operations.operation import Access, OperationCall, Option, Permission, operation
from microclaw.host.operations.result import Listing, Result, filled
from microclaw.host.store.crashes import CrashGroup, CrashReport, CrashTable
from microclaw.programs.proof.traps import EXCEPTION, trap_words
from microclaw.text import moment_text, since_ms

if TYPE_CHECKING:
    from microclaw.devices.registry.registry import Registry

_MAX_WHOLE = 2**53


class CrashService(Struct, frozen=True):
    """The parts that the acts work with."""

    devices: Registry
    crashes: CrashTable


class Crashes(Listing, frozen=True, kw_only=True):
    document: ClassVar = "crashes"
    columns: ClassVar = {
        "ID": "crash_id",
        "LAST": "last_ms",
        "COUNT": "count",
        "BOARDS": "boards",
        "WHAT": "what",
        "TITLE": "title",
    }
    empty: ClassVar = "no crashes"

    crashes: list[CrashGroup]

    @property
    def is_foreign(self) -> bool:
        # A title may repeat what a program read; read-program knows whose words a program prints.
        return bool(self.crashes)

    @property
    def note(self) -> str:
        if not self.crashes:
            return ""
        return "one of them with its traces: microclaw device crashes ID"


class CrashTrace(Struct, frozen=True, kw_only=True):
    """One time that it happened, with the last lines before it."""

    device: str
    at_ms: int
    firmware: str | None
    trace: str
    log: tuple[str, ...]

    def lines(self) -> Iterable[str]:
        head = f"{moment_text(self.at_ms)}  {self.device}"
        if self.firmware:
            head += f", {self.firmware}"
        yield head
        for line in self.trace.splitlines():
            yield f"  {line}"
        if self.log:
            yield "  last lines:"
        for line in self.log:
            yield f"    {line}"


class OneCrash(CrashGroup, frozen=True, kw_only=True, rename={"crash_id": "id", "next_step": "next"}):
    """`text` and `next_step`: what it means, where that is known."""

    document: ClassVar = "crash"

    text: str | None
    next_step: str | None
    reports: list[CrashTrace]

    @property
    def is_foreign(self) -> bool:
        # The last lines may be of any program.
        return True

    def lines(self) -> Iterable[str]:
        yield f"crash {self.crash_id}: {self.title}"
        yield f"{self.what}, version {self.version or 'not known'}, on {', '.join(self.devices)}"
        yield f"{self.count:,} times, from {moment_text(self.found_ms)} to {moment_text(self.last_ms)}"
        if self.text:
            yield f"{self.text}; next: {self.next_step}"
        for report in self.reports:
            yield ""
            yield from report.lines()


class ClearedCrashes(Result, frozen=True, kw_only=True):
    document: ClassVar = "crashes_cleared"

    cleared: int


Device = Annotated[str | None, Meta(max_length=64, description="Only of this device.")]
CrashId = Annotated[int, Meta(ge=1, lt=_MAX_WHOLE, description="Its number: device crashes.")]


@operation("crash.list", http="GET /v1/crashes", access=Access.OWN, command=CommandForm("crashes"))
async def list_crashes(
    service: CrashService,
    _call: OperationCall,
    device: Device = None,
    since: Annotated[
        int, Meta(ge=0, lt=_MAX_WHOLE, description="Only later ones."), Option(metavar="30m|7d|DAY", reads=since_ms)
    ] = 0,
) -> Crashes:
    """List the kinds of crash that boards reported, the newest first."""
    device_ids = None
    if device is not None:
        device_ids = [service.devices.get(device).device_id]
    crashes = []
    for group in await service.crashes.groups(since_ms=since, devices=device_ids):
        crashes.append(replace(group, devices=_names(service, group.devices)))
    return Crashes(crashes=crashes)


@operation("crash.show", http="GET /v1/crashes/{crash_id}", access=Access.OWN, command=CommandForm("crashes"))
async def show_crash(service: CrashService, _call: OperationCall, crash_id: CrashId) -> OneCrash:
    """One kind of crash, with its newest reports."""
    group, reports = await service.crashes.reports(crash_id)
    text, step = _meaning(group, reports)
    traces = []
    for report in reports:
        (device,) = _names(service, [report.device_id])
        traces.append(filled(CrashTrace, report, device=device))
    names = _names(service, group.devices)
    return filled(OneCrash, group, devices=names, text=text, next_step=step, reports=traces)


@operation(
    "crash.clear",
    http="POST /v1/crashes/clear",
    permission=Permission.ACT,
    access=Access.OWN,
    command=CommandForm(
        "forget-crashes",
        said="{cleared} reports forgotten",
        confirm=lambda values: f"Forget {_which(values.get('crashes'), values.get('device'))}?",
    ),
)
async def clear_crashes(
    service: CrashService,
    call: OperationCall,
    crashes: Annotated[
        list[CrashId] | None, Meta(max_length=500, description="Their numbers."), Option(rest=True, metavar="[ID]...")
    ] = None,
    device: Device = None,
) -> ClearedCrashes:
    """Forget crashes: of these numbers, of a device, or all of them."""
    name = None
    device_ids = None
    if device is not None:
        chosen = service.devices.get(device)
        name = chosen.name
        device_ids = [chosen.device_id]
    await call.approve(f"forget {_which(crashes, name)}", ())
    return ClearedCrashes(cleared=await service.crashes.clear(crashes, device_ids))


def _which(crashes: list[int] | None, device: str | None) -> str:
    text = "all crashes"
    if crashes is not None:
        text = f"crashes {', '.join(map(str, crashes[:20]))}"
    if device is not None:
        text += f" of {device}"
    return text


def _names(service: CrashService, device_ids: Iterable[str]) -> tuple[str, ...]:
    names = {device.device_id: device.name for device in service.devices.list()}
    return tuple(names.get(device_id, device_id) for device_id in device_ids)


def _meaning(group: CrashGroup, reports: tuple[CrashReport, ...]) -> tuple[str | None, str | None]:
    """Return the crash of a program in plain words, and the step to take."""
    if group.kind != "program" or not reports:
        return None, None
    trap, _, place = reports[0].trace.partition("\n")
    if place and trap.startswith(EXCEPTION):
        return f"it trapped at {place}", "correct that line"
    return trap_words(reports[0].trace)
