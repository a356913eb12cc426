"""The acts of devices that a host knows: entries, calls, what they printed and counted. Pairing is in link_server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, TypeAlias

from msgspec import Meta, Struct, convert

from microclaw.audit import AuditKind
from microclaw.devices.call_text import call_from, call_words, result_value
from microclaw.devices.calls import ConsoleRead, DeviceRestart, EdgesRead, GpioSet, LogsRead, PwmSet
from microclaw.devices.examine import Examination
from microclaw.link_server.device_facts import (
    DeviceFacts,
    DeviceList,
    LastValue,
    ListedDevice,
    OneDevice,
    device_facts,
    pending_pairings,
    pin_facts,
)
from microclaw.link_server.operations import DeviceName, LinkService
from microclaw.operations.operation import Access, Call, Effect, Option, Permission, operation
from microclaw.operations.result import Result
from microclaw.wire.host_api import EvidenceObject

if TYPE_CHECKING:
    from microclaw.apps.parts import Apps
    from microclaw.devices.device import Device

ACTING: Final = frozenset({"gpio.set", "pwm.set", "apps.request", "apps.start", "apps.stop", "apps.undo"})
RISKY: Final = frozenset({"device.restart"})  # a board forgets what it cannot bring back
MAX_LISTED: Final = 1_000  # devices in one answer: the event loop makes it in one piece


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceService(LinkService):
    """What the acts work with. `check_new` raises ConfigError for an address of this host's own, `last` gives the last
    value of each series of a device.
    """

    apps: Apps
    check_new: Callable[[Sequence[str]], Awaitable[None]]
    last: Callable[[str], Sequence[Any]]

    async def revoked(self) -> frozenset[str]:
        return frozenset() if self.link is None else await self.link.revoked()

    def facts(self, device: Device) -> DeviceFacts:
        return device_facts(device, self.link, DeviceFacts)


Transports: TypeAlias = Annotated[
    list[str],
    Meta(min_length=1, max_length=8, description="Ways into it, such as wasmachine://192.168.1.20:80."),
]
FirmwareWords: TypeAlias = Annotated[list[str], Meta(max_length=64, description="As docs/firmware.md has them.")]
Labels: TypeAlias = Annotated[
    list[str], Meta(max_length=16, description="None: take all away."), Option(rest=True, metavar="[LABEL]...")
]
Cursor: TypeAlias = Annotated[int, Meta(ge=0, lt=2**53)]  # what every reader of JSON keeps exact


@operation("device.list", http="GET /v1/devices", access=Access.LOOK)
async def list_devices(
    service: DeviceService,
    _: Call,
    after: Annotated[str, Meta(max_length=64, description="Those after this name."), Option(hidden=True)] = "",
    limit: Annotated[int, Meta(ge=1, le=MAX_LISTED, description="At most."), Option(hidden=True)] = MAX_LISTED,
) -> DeviceList:
    """List the devices by name, and those that wait to be paired."""
    revoked = await service.revoked()
    rest = [device for device in service.registry.list() if device.name > after]
    return DeviceList(
        devices=[
            device_facts(one, service.link, ListedDevice, revoked=one.device_id in revoked) for one in rest[:limit]
        ],
        next=rest[limit - 1].name if len(rest) > limit else None,
        pairings=await pending_pairings(service.link),
    )


@operation("device.show", http="GET /v1/devices/{device}", access=Access.LOOK, is_command=False)
async def show_device(service: DeviceService, _: Call, device: DeviceName) -> OneDevice:
    """One device, with its pins, its last values and what works on such boards."""
    from microclaw.boards.today import family_of, today_object

    found = service.registry.get(device)
    board, device_id = found.board, found.device_id
    facts = service.facts(found)
    told = None if facts.link is None else facts.link.firmware or ""
    family = None if facts.voice_only else family_of(board.board_id, board.chip, found.kinds, told)
    checks = service.apps.reconciler.status()
    return device_facts(
        found,
        service.link,
        OneDevice,
        revoked=device_id in await service.revoked(),
        today=None if family is None else today_object(family, found.capabilities),
        pins=pin_facts(board, found.labels),
        layout=board.layout,
        problem=next((check.problem for check in checks if check.device_id == device_id), None),
        telemetry=convert(service.last(device_id), list[LastValue]),
    )


@operation(
    "device.add",
    http="POST /v1/devices",
    permission=Permission.ACT,
    access=Access.OWN,  # a transport is an address or a file that this host then opens
    status=201,
    place="/v1/devices/{name}",
    previews=True,
    is_command=False,
)
async def add_device(
    service: DeviceService,
    call: Call,
    name: str,
    board: str,
    transports: Transports,
    labels: Labels = [],  # noqa: B006  msgspec copies it
    firmware: FirmwareWords = [],  # noqa: B006
) -> DeviceFacts:
    """Add a device by its transports."""
    from microclaw.boards.firmware import parse_firmware

    described = parse_firmware(firmware)
    await service.check_new(transports)
    await call.approve(f"add the device {name}", (*transports, *firmware))
    added = await service.registry.add(name, board, transports, labels, described, reached=False, by=service.by(call))
    return service.facts(added)


@operation(
    "device.rename",
    http="PATCH /v1/devices/{device}",
    permission=Permission.ACT,
    asks=True,
    said="it is {name} now",
    words="rename {device} to {name}",
)
async def rename(
    service: DeviceService,
    call: Call,
    device: DeviceName,
    name: Annotated[str, Meta(description="Its new name."), Option(metavar="NEW_NAME")],
) -> DeviceFacts:
    """Give a device another name."""
    return service.facts(await service.registry.rename(device, name, by=service.by(call)))


class RemovedDevice(Result, frozen=True, kw_only=True):
    removed: str


@operation(
    "device.remove",
    http="DELETE /v1/devices/{device}",
    permission=Permission.RISKY,
    access=Access.ACT,
    effect=Effect.IDEMPOTENT,
    said="{removed} is forgotten",
    words="forget the device {device}",
    destroys=True,
)
async def remove(service: DeviceService, call: Call, device: DeviceName) -> RemovedDevice:
    """Forget a device; what runs on it goes on."""
    found, by = service.registry.get(device), service.by(call)
    await service.registry.remove(found.device_id, by=by)
    if service.link is not None:
        await service.link.forget(found, by=by)
    return RemovedDevice(removed=found.name)


@operation(
    "device.add-transports",
    http="POST /v1/devices/{device}/transports",
    permission=Permission.ACT,
    access=Access.OWN,
    previews=True,
    is_command=False,
)
async def add_transports(service: DeviceService, call: Call, device: DeviceName, transports: Transports) -> DeviceFacts:
    """More ways into a device."""
    found = service.registry.get(device)
    await service.check_new(transports)
    await call.approve(f"give {found.name} more transports", transports)
    endpoints = (*service.registry.get(device).endpoints, *transports)
    return service.facts(await service.registry.set_transports(device, endpoints, by=service.by(call)))


@operation(
    "device.describe",
    http="PUT /v1/devices/{device}/firmware",
    permission=Permission.ACT,
    effect=Effect.IDEMPOTENT,
    previews=True,
    is_command=False,
)
async def describe_firmware(
    service: DeviceService, call: Call, device: DeviceName, firmware: FirmwareWords
) -> DeviceFacts:
    """Say what the firmware on the board has; what runs there is not touched."""
    from microclaw.boards.firmware import described_text, parse_firmware

    found, described = service.registry.get(device), parse_firmware(firmware)
    await call.approve(f"describe the firmware of {found.name}", (described_text(described.words),))
    return service.facts(await service.registry.describe_firmware(found.device_id, described, by=service.by(call)))


@operation(
    "device.merge",
    http="POST /v1/devices/{device}/merge",
    permission=Permission.RISKY,
    access=Access.ACT,
    previews=True,
    said="one device now, {name}: {transports_text}",
    destroys=True,
)
async def merge(
    service: DeviceService,
    call: Call,
    device: DeviceName,
    other: Annotated[str, Meta(max_length=64, description="The entry that ends.")],
) -> DeviceFacts:
    """Two entries are one board: OTHER's addresses go to NAME, and OTHER's entry ends."""
    kept, gone = service.registry.check_merge(device, other)  # first: nobody is asked for what is refused
    await call.approve(f"make {gone.name} one with {kept.name}", ())
    return service.facts(await service.registry.merge(kept.device_id, gone.device_id, by=service.by(call)))


class LabelledDevice(DeviceFacts, frozen=True, kw_only=True):
    taken_away: list[str]

    @property
    def news(self) -> str:
        keep = "; keep them by naming them too" if self.labels else ""
        away = f" (taken away: {', '.join(self.taken_away)}{keep})" if self.taken_away else ""
        return f"{self.labels_text or 'no labels'}{away}"


@operation(
    "device.label",
    http="PUT /v1/devices/{device}/labels",
    permission=Permission.ACT,
    effect=Effect.IDEMPOTENT,
    previews=True,
    said="{name}: {news}",
)
async def label(service: DeviceService, call: Call, device: DeviceName, labels: Labels) -> LabelledDevice:
    """Replace a device's labels; what was taken away is told."""
    found = service.registry.get(device)
    before = found.labels
    await call.approve(f"label {found.name}", labels)
    await service.registry.label(device, labels, by=service.by(call))
    gone = [one for one in before if one not in found.labels]
    return device_facts(found, service.link, LabelledDevice, taken_away=gone)


@operation("device.check", http="POST /v1/devices/{device}/check", is_command=False)
async def check(service: DeviceService, _: Call, device: DeviceName) -> Examination:
    """Reach a device now by each of its transports; nothing is changed there."""
    from microclaw.apps.reconciler import check_device

    return await check_device(service.registry.get(device), service.link, service.apps.reconciler.status())


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
            yield f"{key:<16} {value}" if key else value
        if self.evidence is not None:
            yield f"({self.evidence.kind}: {self.evidence.text})"

    @property
    def told(self) -> str:
        return ", ".join(" ".join(line.split()) for line in self.lines())


def _rows(value: Any) -> Iterator[tuple[str, str]]:
    """A list one entry a line, an object one member a line."""
    members = value.items() if isinstance(value, dict) else [("", one) for one in value or ["none"]]
    for key, member in members if isinstance(value, dict | list) else [("", "done" if value is None else value)]:
        if isinstance(member, dict) and key:
            yield from ((inner, str(content)) for inner, content in member.items())
        elif isinstance(member, list) and any(isinstance(one, dict) for one in member):
            yield from ((key, _words(one)) for one in member)
        else:
            yield key, _words(member)


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return "  ".join(map(str, value.values()))
    return (" ".join(map(str, value)) or "-") if isinstance(value, list) else str(value)


async def _needed(
    service: DeviceService, _: Call, *, device: str, method: str, force: bool, **values: Any
) -> Permission:
    asked = call_from(method, values["arguments"])
    if force and await service.apps.direct_io.conflict(device, asked) is not None:
        return Permission.RISKY
    return call_permission(method)


@operation(
    "device.call",
    http="POST /v1/devices/{device}/call",
    many="POST /v1/call",
    offers="{method}",
    effect=Effect.ONCE,
    before=_needed,
    previews=True,
    is_command=False,
    words="{method} on {device}",
)
async def call_device(
    service: DeviceService,
    call: Call,
    device: DeviceName,
    method: Annotated[str, Meta(max_length=64, description="gpio.set, gpio.get, adc.read, apps.list, ...")],
    arguments: dict[str, Any] = {},  # noqa: B006  msgspec copies it
    wait: bool = True,
    force: bool = False,
    timeout_s: Annotated[float | None, Meta(gt=0, le=50)] = None,
) -> CallAnswer:
    """Call one method at once. `wait`: for a device that is away; `force`: also on a pin that a program has."""
    found, asked, gate = service.registry.get(device), call_from(method, arguments), service.gate
    permission = call_permission(method)
    insisted: tuple[str, ...] = ()
    action = call_words(asked, found.name)
    gate.check(call.person_id, permission, action)
    conflict = await service.apps.direct_io.conflict(device, asked)  # first: nobody is asked for what is refused
    if conflict is not None:
        if not force or conflict.is_final:
            conflict.raise_refused(f"or insist: microclaw exec --force {found.name} {method} ...")
        permission, insisted = Permission.RISKY, (conflict.text,)
    detail = [f"{key}: {value!r:.200}" for key, value in arguments.items()]
    await call.approve(action, (*insisted, *detail), None, permission)
    if conflict is not None:
        gate.note(AuditKind.FORCED, f"{method}: {conflict.text}", call.person_id, about=found.name)
    if not wait:
        found.check_present(asked)
    if isinstance(asked, GpioSet | PwmSet):  # a change, with a line of its own, that can be undone
        done = await service.apps.direct_io.act(device, asked, insist=insisted)
        evidence = convert(done.evidence, EvidenceObject, from_attributes=True)
        value, number = result_value(done.state), done.change_id
        return CallAnswer(method=method, result=value, evidence=evidence, change_id=number, warning=done.warning)
    if permission is not Permission.READ:
        gate.note(AuditKind.CALL_ACTED, method, call.person_id, about=found.name)
    answer = await found.call(asked, timeout_s)
    if not isinstance(asked, DeviceRestart):
        return CallAnswer(method=method, result=result_value(answer))
    text = f"it came back in another boot {answer.seconds:g} s after it was asked"
    return CallAnswer(method=method, result=result_value(answer), evidence=EvidenceObject("reported", text, ()))


def call_permission(method: str) -> Permission:
    if method in RISKY:
        return Permission.RISKY
    return Permission.ACT if method in ACTING else Permission.READ


class Exploration(Result, frozen=True, kw_only=True):
    """`firmware` are the words of the description that follows; `unknown` what could not be found out."""

    document: ClassVar = "exploration"

    device: str
    natives: list[str]
    lacking_natives: list[str]
    nodes: list[str]
    lacking_nodes: list[str]
    unknown: list[str]
    firmware: list[str]


@operation(
    "device.explore",
    http="POST /v1/devices/{device}/explore",
    permission=Permission.ACT,
    asks=True,
    steps=True,
    is_command=False,
    words="explore {device} with a program of the host's",
)
async def explore(service: DeviceService, call: Call, device: DeviceName) -> Exploration:
    """Find out which functions and device files a board's firmware has, by a program that is there for a moment."""
    made = await service.apps.explorer.explore(device, call.report)
    found = made.findings
    return Exploration(
        device=made.device_name,
        natives=sorted(found.natives),
        lacking_natives=sorted(found.lacking_natives),
        nodes=sorted(found.nodes),
        lacking_nodes=sorted(found.lacking_nodes),
        unknown=list(made.unknown),
        firmware=list(made.words),
    )


class Logs(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Lines of programs; with `console` those of its serial console, with `open_ms` and `problem` of the port."""

    lines: list[dict[str, Any]]
    cursor: int
    dropped: int
    console: bool = False
    evidence: Literal["reported"] | None = None
    open_ms: int | None = None
    problem: str | None = None


@operation("device.logs", http="GET /v1/devices/{device}/logs", access=Access.LOOK, is_command=False)
async def read_logs(
    service: DeviceService, _: Call, device: DeviceName, cursor: Cursor = 0, console: bool = False
) -> Logs:
    """What the device's programs printed, since a cursor.

    With `console`, or where nothing else tells: what its serial console printed. Never both, mixed.
    """
    found = service.registry.get(device)
    if console or (found.supports(ConsoleRead.method) and not found.supports(LogsRead.method)):
        page = await found.call(ConsoleRead(cursor=cursor))
        return Logs(console=True, evidence="reported", **result_value(page))
    return Logs(**result_value(await service.apps.source_log.read(found, cursor)))


class Edges(Struct, frozen=True, kw_only=True):
    """Level changes that the board counted, each [t_ms, pin, level]; `now_ms` is the board's time."""

    edges: list[list[float]]
    cursor: int
    dropped: int
    now_ms: float


@operation("device.edges", http="GET /v1/devices/{device}/edges", access=Access.LOOK, is_command=False)
async def read_edges(service: DeviceService, _: Call, device: DeviceName, cursor: Cursor = 0) -> Edges:
    """Level changes the board counted, since a cursor."""
    page = await service.registry.get(device).call(EdgesRead(cursor=cursor))
    edges = [[e.t_ms, e.pin, e.level] for e in page.edges]
    return Edges(edges=edges, cursor=page.cursor, dropped=page.dropped, now_ms=page.now_ms)
