"""The acts that call a device: check it, a method, what its programs printed, what it counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

from msgspec import Meta, Struct

from microclaw.conversion import convert
from microclaw.devices.link.operations import DeviceName
from microclaw.devices.registry.call_text import call_from, call_words, result_value
from microclaw.devices.registry.calls import (
    Call,
    ConsoleRead,
    DeviceRestart,
    EdgeLog,
    EdgesRead,
    GpioSet,
    LogsRead,
    PwmSet,
)
from microclaw.devices.registry.device import Device
from microclaw.devices.registry.examine import Examination
from microclaw.host.audit.event import AuditKind
from microclaw.host.operations.forms import NO_COMMAND, Asks, ManyForm
from microclaw.host.operations.operation import Access, Effect, OperationCall, Permission, operation
from microclaw.host.operations.result import Result
from microclaw.host.operations.views import shown_as
from microclaw.programs.changes import wiring_operations as wiring_operations  # its acts are of this noun, too
from microclaw.programs.changes import wiring_places as wiring_places  # the same
from microclaw.programs.changes.device_forms import CHECK, EDGES
from microclaw.programs.changes.device_operations import DeviceService
from microclaw.programs.changes.pin_cautions import refuse_caution
from microclaw.wire.host_api import EvidenceObject

READING: Final = frozenset(
    {"adc.read", "apps.list", "apps.states", "console.read", "device.info", "device.status", "edges.read", "gpio.get"}
    | {"i2c.read", "i2c.scan", "logs.read", "pwm.read"}
)
RISKY: Final = frozenset({"device.restart"})  # a board forgets what it cannot bring back

Cursor: TypeAlias = Annotated[int, Meta(ge=0, lt=2**53)]  # what every reader of JSON keeps exact


@operation("device.check", http="POST /v1/devices/{device}/check", tool=CHECK)
async def check(service: DeviceService, _: OperationCall, device: DeviceName) -> Examination:
    """Reach a device now, by each of its addresses: what it is, how it is, and what to do. Exit code 1: a problem."""
    return await service.apps.reconciler.examine(service.registry.get(device), service.link)


class CallAnswer(Result, frozen=True, kw_only=True, omit_defaults=True):
    """`result` is as docs/protocols/link-methods.md has it of the method; the others with what changes something."""

    document: ClassVar = "exec"

    method: str
    result: Any
    evidence: EvidenceObject | None = None
    change_id: int | None = None
    warning: str | None = None

    def lines(self) -> Iterable[str]:
        for key, value in _rows(self.result):
            if key:
                yield f"{key:<16} {value}"
            else:
                yield value
        if self.evidence is not None:
            yield f"({self.evidence.kind}: {self.evidence.text})"

    @property
    def told(self) -> str:
        return ", ".join(" ".join(line.split()) for line in self.lines())


def _rows(value: Any) -> Iterator[tuple[str, str]]:
    """Yield a list one entry a line, an object one member a line."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield from _member_rows(key, member)
    elif isinstance(value, list):
        for entry in value or ["none"]:
            yield from _member_rows("", entry)
    elif value is None:
        yield "", "done"
    else:
        yield "", _words(value)


def _member_rows(key: str, member: Any) -> Iterator[tuple[str, str]]:
    if isinstance(member, dict) and key:
        for inner_key, content in member.items():
            yield inner_key, str(content)
    elif isinstance(member, list) and any(isinstance(entry, dict) for entry in member):
        for entry in member:
            yield key, _words(entry)
    else:
        yield key, _words(member)


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return "  ".join(map(str, value.values()))
    if isinstance(value, list):
        return " ".join(map(str, value)) or "-"
    return str(value)


async def _needed(
    service: DeviceService, _: OperationCall, *, device: str, method: str, force: bool, **values: Any
) -> Permission:
    asked = call_from(method, values["arguments"])
    if force and await service.apps.direct_io.conflict(device, asked) is not None:
        return Permission.RISKY
    if await service.apps.direct_io.caution(device, asked) is not None:
        return Permission.RISKY
    return call_permission(method)


@operation(
    "device.call",
    http="POST /v1/devices/{device}/call",
    many=ManyForm("POST /v1/call", offers="{method}", shows="arguments"),
    effect=Effect.ONCE,
    before=_needed,
    asks=Asks.ITSELF,
    command=NO_COMMAND,
    words="{method} on {device}",
)
async def call_device(
    service: DeviceService,
    call: OperationCall,
    device: DeviceName,
    method: Annotated[str, Meta(max_length=64, description="gpio.set, gpio.get, adc.read, apps.list, ...")],
    *,
    arguments: dict[str, Any] = {},  # noqa: B006  msgspec copies it
    wait: bool = True,
    force: bool = False,
    timeout_s: Annotated[float | None, Meta(gt=0, le=50)] = None,
) -> CallAnswer:
    """Call one method at once. `wait`: for a device that is away; `force`: also on a pin that a program has.

    A pin that needs care asks once; at the command line `force` is the yes.
    """
    found = service.registry.get(device)
    asked = call_from(method, arguments)
    permission = call_permission(method)
    action = call_words(asked, found.name)
    service.gate.check(call.person_id, permission, action)
    # First: nobody is asked for what is refused.
    insisted = await _objections(service, call, found, asked, force=force)
    if insisted:
        permission = Permission.RISKY
    detail = (*insisted, *(f"{key}: {value!r:.200}" for key, value in arguments.items()))
    await call.approve(action, detail, None, permission)
    for text in insisted:
        service.gate.note(AuditKind.FORCED, f"{method}: {text}", call.person_id, about=found.name)
    if not wait:
        found.check_present(asked)
    if isinstance(asked, GpioSet | PwmSet):
        return await _set_pin(service, device, asked, insisted)
    if permission is not Permission.READ:
        service.gate.note(AuditKind.CALL_ACTED, method, call.person_id, about=found.name)
    answer = await found.call(asked, timeout_s)
    evidence = None
    if isinstance(asked, DeviceRestart):
        text = f"it came back in another boot {answer.seconds:g} s after it was asked"
        evidence = EvidenceObject("reported", text, ())
    return CallAnswer(method=method, result=result_value(answer), evidence=evidence)


async def _objections(
    service: DeviceService, call: OperationCall, device: Device, asked: Call[Any], *, force: bool
) -> tuple[str, ...]:
    """Return what a person must overrule: a program that has the pin, and the pin's caution.

    Raises PinClaimed without `force`. Raises PinCaution without `force` for a command of this machine, which nobody is
    asked about: it says yes itself.
    """
    objections = []
    step = f"microclaw exec --force {device.name} {asked.method} ..."
    conflict = await service.apps.direct_io.conflict(device.device_id, asked)
    if conflict is not None:
        if not force or conflict.is_final:
            conflict.raise_refused(f"or insist: {step}")
        objections.append(conflict.text)
    caution = await service.apps.direct_io.caution(device.device_id, asked)
    if caution is not None and isinstance(asked, GpioSet | PwmSet):
        if call.direct and not force:
            refuse_caution(device, asked.pin, caution, f"say yes: {step}")
        objections.append(caution)
    return tuple(objections)


async def _set_pin(service: DeviceService, device: str, asked: GpioSet | PwmSet, insisted: Sequence[str]) -> CallAnswer:
    """Set a pin: a change with a line of its own in the change log, which can be undone."""
    change = await service.apps.direct_io.act(device, asked, insist=insisted)
    return CallAnswer(
        method=asked.method,
        result=result_value(change.state),
        evidence=convert(change.evidence, EvidenceObject, from_attributes=True),
        change_id=change.change_id,
        warning=change.warning,
    )


def call_permission(method: str) -> Permission:
    """Return the permission that a method needs; a method that is not named above acts."""
    if method in READING:
        return Permission.READ
    if method in RISKY:
        return Permission.RISKY
    return Permission.ACT


class Logs(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Lines of programs; with `console` those of its serial console, with `open_ms` and `problem` of the port."""

    lines: list[dict[str, Any]]
    cursor: int
    dropped: int
    console: bool = False
    evidence: Literal["reported"] | None = None
    open_ms: int | None = None
    problem: str | None = None


@operation("device.logs", http="GET /v1/devices/{device}/logs", access=Access.LOOK, command=NO_COMMAND)
async def read_logs(
    service: DeviceService, _: OperationCall, device: DeviceName, cursor: Cursor = 0, console: bool = False
) -> Logs:
    """Read what the device's programs printed, since a cursor.

    With `console`, or where nothing else tells: what its serial console printed. Never both, mixed.
    """
    found = service.registry.get(device)
    if console or (found.supports(ConsoleRead.method) and not found.supports(LogsRead.method)):
        page = await found.call(ConsoleRead(cursor=cursor))
        return Logs(console=True, evidence="reported", **result_value(page))
    return Logs(**result_value(await service.apps.source_log.read(found, cursor)))


class EdgeHistory(Struct, frozen=True, kw_only=True):
    """Level changes that the board counted, each [t_ms, pin, level]; `now_ms` is the board's time."""

    edges: list[list[float]]
    cursor: int
    dropped: int
    now_ms: float


def _edges_view(page: EdgeLog) -> EdgeHistory:
    edges = [[edge.t_ms, edge.pin, edge.level] for edge in page.edges]
    return EdgeHistory(edges=edges, cursor=page.cursor, dropped=page.dropped, now_ms=page.now_ms)


@operation("device.edges", http="GET /v1/devices/{device}/edges", access=Access.LOOK, command=NO_COMMAND, tool=EDGES)
@shown_as(_edges_view)
async def read_edges(service: DeviceService, _: OperationCall, device: DeviceName, cursor: Cursor = 0) -> EdgeLog:
    """Level changes the board counted, since a cursor."""
    return await service.registry.get(device).call(EdgesRead(cursor=cursor))
