"""Operations for firmware: keys, releases, offers, rollouts. Only for the owner; private keys never come here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

from msgspec import Meta, Struct
from msgspec.structs import replace

from microclaw.devices.ota.manifest import MAX_MANIFEST_BYTES
from microclaw.devices.ota.results import (
    MAX_PIECE_BYTES,
    OfferOutcome,
    OfferResults,
    PayloadOffset,
    Publication,
    Releases,
    RolloutBoard,
    RolloutFacts,
    RolloutList,
    UpdateKey,
    UpdateKeys,
    UpdateStatuses,
    WithdrawnReleases,
)
from microclaw.devices.ota.rollout import BAD, DEFAULT_STAGES, DEVICE_STATES, MAX_DEVICES, RolloutPlan
from microclaw.devices.registry.selection import Selection, names_text
from microclaw.errors import ConfigError, UnknownName
from microclaw.host.operations.forms import NO_COMMAND, Asks, CommandForm, HttpAnswer
from microclaw.host.operations.operation import NAME, Access, OperationCall, Option, Permission, operation
from microclaw.host.operations.result import filled
from microclaw.host.store.firmware import ReleaseRow
from microclaw.text import read_duration_ms

if TYPE_CHECKING:
    from microclaw.devices.ota.publisher import Publisher
    from microclaw.devices.ota.rollout import Rollout
    from microclaw.devices.ota.rollouts import Rollouts
    from microclaw.devices.registry.device import Device
    from microclaw.host.store.firmware import KeyRow

MAX_SOAK_MS: Final = 7 * 86_400_000
# The names in a question, and the failures of a rollout.
MAX_SHOWN: Final = 50
_IS_RELEASE: Final = Meta(max_length=40, pattern=NAME, description="Its number or version: firmware list.")
Release: TypeAlias = Annotated[str, _IS_RELEASE, Option(metavar="VERSION")]
Devices: TypeAlias = Annotated[tuple[str, ...], Meta(max_length=1000), Option(hidden=True)]
Labels: TypeAlias = Annotated[tuple[str, ...], Meta(max_length=16), Option(hidden=True)]
All: TypeAlias = Annotated[bool, Option(hidden=True)]
Number: TypeAlias = Annotated[int, Meta(ge=1, lt=2**53, description="Of the rollout: firmware rollouts.")]
_BASE64: Final = {"pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"}
_owner = partial(operation, access=Access.OWN)
_risky = partial(operation, permission=Permission.RISKY, asks=Asks.ITSELF)


class FirmwareService(Struct, frozen=True):
    """The parts that the operations need. `name_of` returns a person's name for others."""

    publisher: Publisher
    rollouts: Rollouts
    name_of: Callable[[str], str]

    def by(self, call: OperationCall) -> str:
        """Return the name of the caller."""
        return self.name_of(call.person_id)


def _public_key(file: str) -> str:
    # It imports cryptography, which most commands do not need.
    from microclaw.devices.ota.keys import read_public_key

    return read_public_key(Path(file)).pem.decode()


@_owner("firmware.keys", http="GET /v1/firmware/keys")
async def list_keys(service: FirmwareService, _: OperationCall) -> UpdateKeys:
    """List the public keys whose updates this host passes on; what a device trusts: firmware status."""
    return UpdateKeys(keys=[_key(row) for row in await service.publisher.table.keys.list()])


@_risky(
    "firmware.trust",
    http="POST /v1/firmware/keys",
    answer=HttpAnswer(201),
    command=CommandForm(said="updates signed by {key_id} are passed on"),
)
async def trust(
    service: FirmwareService,
    call: OperationCall,
    public: Annotated[
        str,
        Meta(max_length=16_384, description="The public key (PEM)."),
        Option(metavar="FILE.pub.pem", reads=_public_key),
    ],
    name: Annotated[str, Meta(max_length=64, description="What people call it; its id otherwise.")] = "",
) -> UpdateKey:
    """Pass on what this key signs; no device is notified."""
    # It imports cryptography, which most commands do not need.
    from microclaw.devices.ota.keys import public_key

    key = public_key(public.encode())
    name = name or key.key_id
    await call.approve(f"pass on updates signed by the key {key.key_id} ({name})", ())
    return _key(await service.publisher.trust(key, name, by=service.by(call)))


@_risky(
    "firmware.distrust",
    http="DELETE /v1/firmware/keys/{key_id}",
    command=CommandForm(
        "keys",
        said="updates signed by {key_id} are taken no more, its releases are withdrawn",
        confirm="take no more updates signed by {key_id}, and withdraw its releases?",
    ),
)
async def distrust(
    service: FirmwareService,
    call: OperationCall,
    key_id: Annotated[
        str,
        Meta(pattern=NAME, description="No releases of it any more."),
        Option("--distrust", metavar="KEY"),
    ],
) -> UpdateKey:
    """Take no more releases of this key and withdraw its releases; devices keep the keys that they trust."""
    # First: a person is not asked about a key that does not exist.
    await service.publisher.key(key_id)
    await call.approve(f"take no more updates signed by the key {key_id}, and withdraw its releases", ())
    row = await service.publisher.distrust(key_id, by=service.by(call))
    await service.rollouts.end_withdrawn()
    return _key(row)


@_owner("firmware.list", http="GET /v1/firmware/releases")
async def list_releases(
    service: FirmwareService,
    _: OperationCall,
    release: Annotated[
        str | None,
        Meta(max_length=40, description="Its number or version: only this release, with --json as it was signed."),
        Option(argument=True, metavar="VERSION"),
    ] = None,
) -> Releases:
    """List every release, the newest first."""
    rows = await service.publisher.table.list()
    if release is None:
        return Releases(releases=_unsigned(rows))
    matches = [row for row in rows if release in (str(row.release_id), row.version)]
    if not matches:
        raise UnknownName(f"there is no release {release!r}", next_step="microclaw firmware list")
    return Releases(releases=matches)


@_risky("firmware.publish", http="POST /v1/firmware/releases", command=NO_COMMAND)
async def publish(
    service: FirmwareService,
    call: OperationCall,
    manifest: Annotated[bytes, Meta(max_length=MAX_MANIFEST_BYTES + 1, extra_json_schema=_BASE64)],
    signature: Annotated[bytes, Meta(max_length=1024, extra_json_schema=_BASE64)],
) -> Publication:
    """Publish a signed manifest; the answer says which part of the payload is missing."""
    read = await service.publisher.verify_manifest(manifest, signature)
    wanted = await service.publisher.missing_payload(read)
    if wanted is not None:
        return Publication(wanted=wanted)
    await call.approve(f"publish {read.name} {read.version}", (f"signed by {read.key_id}",))
    return Publication(release=await service.publisher.publish(manifest, signature, by=service.by(call)))


@_owner("firmware.receive", http="PUT /v1/firmware/payloads/{sha256}", permission=Permission.ACT, command=NO_COMMAND)
async def receive(
    service: FirmwareService,
    _: OperationCall,
    sha256: Annotated[str, Meta(pattern=NAME)],
    offset: Annotated[int, Meta(ge=0, le=1 << 24)],
    data: Annotated[bytes, Meta(max_length=MAX_PIECE_BYTES, extra_json_schema=_BASE64)],
) -> PayloadOffset:
    """Take a piece of a payload that a manifest asked for."""
    return PayloadOffset(offset=await service.publisher.receive(sha256, offset, data))


@_risky(
    "firmware.withdraw",
    http="POST /v1/firmware/releases/{release}/withdraw",
    command=CommandForm("list", confirm="withdraw {release}?"),
)
async def withdraw(
    service: FirmwareService,
    call: OperationCall,
    release: Annotated[str, _IS_RELEASE, Option("--withdraw", metavar="VERSION")],
) -> WithdrawnReleases:
    """Withdraw a release: downloads of it end. A device that runs it keeps it."""
    name = service.by(call)
    rows = await service.rollouts.offers.find(release)
    await call.approve(f"withdraw {rows[0].name} {rows[0].version}", ())
    withdrawn = [await service.publisher.withdraw(row.release_id, by=name) for row in rows]
    await service.rollouts.end_withdrawn()
    return WithdrawnReleases(releases=_unsigned(withdrawn))


@_risky("firmware.update", http="POST /v1/firmware/offers", command=NO_COMMAND)
async def update(
    service: FirmwareService,
    call: OperationCall,
    *,
    release: Release,
    devices: Devices = (),
    labels: Labels = (),
    all: All = False,
) -> OfferResults:
    """Offer a release to devices; a device that is away gets it when it is back.

    If a version has several releases, each device gets the release that is for it.
    """
    rows = await service.rollouts.offers.find(release)
    selection = Selection(tuple(devices), tuple(labels), all)
    chosen = await _chosen(service, call, f"update {{}} to {rows[0].version}", selection)
    results = await service.rollouts.offers.to_each(chosen, rows, by=service.by(call))
    return OfferResults(version=rows[0].version, results=results)


@_owner("firmware.status", http="GET /v1/firmware/status")
async def status(
    service: FirmwareService,
    _: OperationCall,
    device: Annotated[str | None, Meta(max_length=80, description="Only this device.")] = None,
) -> UpdateStatuses:
    """Show what each device runs and trusts, and the state of its update; of one with -d."""
    return UpdateStatuses(devices=await service.rollouts.offers.status(device))


@_owner(
    "firmware.cancel",
    http="POST /v1/firmware/offers/{device}/cancel",
    permission=Permission.ACT,
    asks=Asks.BEFORE,
    words="cancel the update of {device}",
    command=CommandForm(said="{device} was asked to give up {offer.version}"),
)
async def cancel(
    service: FirmwareService,
    call: OperationCall,
    device: Annotated[str, Meta(pattern=NAME, max_length=80, description="Which one.")],
) -> OfferOutcome:
    """Ask a device (-d) to give up an update that it has not written yet."""
    offers = service.rollouts.offers
    target = offers.devices.get(device)
    row = await offers.cancel(target.device_id, by=service.by(call))
    if row is None:
        raise ConfigError(f"{target.name} has no update to cancel", next_step="microclaw firmware status")
    online = offers.is_online(target.device_id)
    return OfferOutcome(device=target.name, offer=row, online=online)


@_owner("firmware.rollouts", http="GET /v1/rollouts", command=NO_COMMAND)
async def list_rollouts(service: FirmwareService, _: OperationCall) -> RolloutList:
    """List rollouts, the newest first."""
    return _rollout_list(service, await service.rollouts.all())


@_owner("firmware.rollout-status", http="GET /v1/rollouts/{number}", command=NO_COMMAND)
async def show_rollout(service: FirmwareService, _: OperationCall, number: Number) -> RolloutFacts:
    """Show a rollout, with its boards."""
    rollout = await service.rollouts.get(number)
    steps = {}
    for status in await service.rollouts.offers.status():
        steps[status.device_id] = status.step(rollout.row.version)
    return _rollout(service, rollout, boards=_boards(service, rollout, steps))


@_risky(
    "firmware.rollout",
    http="POST /v1/rollouts",
    answer=HttpAnswer(201, place="/v1/rollouts/{rollout}"),
    words="roll {version} out",
)
async def roll_out(  # noqa: PLR0913, RUF100 - one parameter for each option of the command
    service: FirmwareService,
    call: OperationCall,
    *,
    version: Release,
    stages: Annotated[str, Meta(max_length=100, description="Boards, or shares of them.")] = DEFAULT_STAGES,
    healthy: Annotated[int, Meta(ge=50, le=100, description="Percent of a stage: else it stops.")] = 95,
    crashes: Annotated[int, Meta(ge=0, le=MAX_DEVICES, description="New crash reports that are borne.")] = 0,
    soak: Annotated[
        str, Meta(max_length=20, description="Between a stage and the next."), Option(metavar="TIME")
    ] = "10m",
    at_once: Annotated[int, Meta(ge=1, le=MAX_DEVICES, description="Boards that update at the same time.")] = 50,
    devices: Devices = (),
    labels: Labels = (),
    all: All = False,
) -> RolloutFacts:
    """Update boards (-d, -l, --all) in stages: it continues by itself, and stops if boards do not become healthy."""
    soak_ms = read_duration_ms(soak)
    if soak_ms is None or not 0 <= soak_ms <= MAX_SOAK_MS:
        raise ConfigError(f"{soak!r} is not a time of up to 7 days", next_step="such as 90s, 10m, 24h")
    share = healthy / 100
    plan = RolloutPlan((), healthy_share=share, max_crashes=crashes, soak_s=soak_ms / 1000, under_way=at_once)
    # First: a wrong version is reported before a person is asked.
    await service.rollouts.offers.find(version)
    selection = Selection(tuple(devices), tuple(labels), all)
    chosen = await _chosen(service, call, f"roll {version} out to {{}}", selection)
    rollout, left_out = await service.rollouts.begin(version, chosen, call.person_id, stages=stages, plan=plan)
    return _rollout(service, rollout, left_out=left_out)


@_owner(
    "firmware.rollout-change",
    http="POST /v1/rollouts/{number}/{act}",
    permission=Permission.ACT,
    command=CommandForm(
        is_derived=False,
        confirm=lambda values: "take its boards back to what they ran?" if values["act"] == "undo" else None,
    ),
)
async def change_rollout(
    service: FirmwareService,
    call: OperationCall,
    number: Number,
    act: Annotated[
        Literal["pause", "resume", "stop", "undo"],
        Meta(description="No more offers; go on; end it for good; take its boards back to what they ran."),
    ],
) -> RolloutList:
    """Pause or resume a rollout, stop it for good, or take its boards back; return the changed rollouts."""
    rollouts = service.rollouts
    rollout = await rollouts.get(number)
    if act == "undo":
        await call.approve(f"revert rollout {number} of {rollout.row.version}", (), None, Permission.RISKY)
        changed = await rollouts.undo(number, call.person_id)
    else:
        await call.approve(f"{act} rollout {number}", ())
        change = {"pause": rollouts.pause, "resume": rollouts.resume, "stop": rollouts.stop}[act]
        changed = [await change(number)]
    return _rollout_list(service, changed)


async def _chosen(service: FirmwareService, call: OperationCall, action: str, selection: Selection) -> list[Device]:
    """Return the selected devices after a person approved the action on them."""
    chosen = service.rollouts.offers.select_devices(selection)
    names = [device.name for device in chosen]
    await call.approve(action.format(names_text(names)), names[:MAX_SHOWN])
    return chosen


def _unsigned(rows: Sequence[ReleaseRow]) -> list[ReleaseRow]:
    return [replace(row, manifest=b"", signature=b"") for row in rows]


def _key(row: KeyRow) -> UpdateKey:
    from microclaw.devices.ota.keys import public_key

    key = public_key(row.public_der)
    return filled(UpdateKey, row, public=key.pem.decode(), n=key.trusted.n)


def _rollout_list(service: FirmwareService, rollouts: Sequence[Rollout]) -> RolloutList:
    return RolloutList(rollouts=[_rollout(service, rollout) for rollout in rollouts])


def _rollout(service: FirmwareService, rollout: Rollout, **more: Any) -> RolloutFacts:
    facts = {
        "rollout": rollout.row.rollout_id,
        "began_by": service.name_of(rollout.row.person_id),
        "stage": rollout.row.stage + 1,
        "stages": rollout.plan.stages,
        "count": len(rollout.devices),
        "counts": {state: rollout.count(state) for state in DEVICE_STATES},
        "failures": [board for board in _boards(service, rollout) if board.state in BAD][:MAX_SHOWN],
        "boards": [],
        "left_out": {},
    }
    return filled(RolloutFacts, rollout.row, **{**facts, **more})


def _boards(service: FirmwareService, rollout: Rollout, steps: Mapping[str, str] = {}) -> list[RolloutBoard]:
    """Return the boards of a rollout, each with its present name, or its id if it was removed; `steps` by id."""
    names = {device.device_id: device.name for device in service.rollouts.offers.devices.list()}
    boards = []
    for row in rollout.devices.values():
        name = names.get(row.device_id, row.device_id)
        boards.append(filled(RolloutBoard, row, device=name, step=steps.get(row.device_id, "")))
    return boards
