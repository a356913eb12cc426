"""The common part of acts on programs: their request, its approval, and what waits for a device that is away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args

from msgspec.structs import replace

from microclaw.apps.act_results import AppAct
from microclaw.apps.results import AppCondition, AppOrigin
from microclaw.apps.run_times import run_times
from microclaw.errors import AppNotFound, ConfigError, MicroclawError
from microclaw.events import AskedProgram
from microclaw.operations.operation import Approve, Call, Permission

if TYPE_CHECKING:
    from microclaw.apps.catalogue import AppListing
    from microclaw.apps.deployment import ChangeRequest, Place
    from microclaw.apps.parts import Apps
    from microclaw.devices.device import Device

M = TypeVar("M", bound=AppAct)
_TO_START: Final = frozenset({"stopped", "deferred", "ended", "trapped", "dead"})
_TO_STOP: Final = frozenset(get_args(AppCondition)) - {"stopped"}


async def having(
    programs: Any, devices: Sequence[Device], name: str, *, stopped: bool | None = None, **_: Any
) -> Sequence[Device]:
    """Of devices that nobody named, those that have the program; the desired state of one that is away counts, too.

    `stopped` chooses those where it can be started (stopped, or ended), or those where it is not stopped.
    """
    listed = [found for found in await programs.apps.catalogue.list_apps() if found.name == name]
    if stopped is not None:
        listed = [found for found in listed if found.condition in (_TO_START if stopped else _TO_STOP)]
    there = {found.device_id for found in listed}
    meant = [device for device in devices if device.device_id in there]
    if not meant:
        what = {None: "on", True: "stopped on", False: "running on"}[stopped]
        raise AppNotFound(f"{name!r} is {what} none of {len(devices)} devices", next_step="microclaw app list")
    return meant


def removal_permission(name: str, listed: Sequence[AppListing]) -> Permission:
    """There is no copy of a program that this host did not install, so to remove it is risky."""
    return Permission.RISKY if any(app.name == name and app.foreign for app in listed) else Permission.ACT


def program_request(
    device: str,
    name: str,
    source: str | None,
    wasm: bytes | None,
    expect: str | None,
    every_ms: int | None = None,
    stop_after_ms: int | None = None,
    origin: AppOrigin | None = None,
    **terms: Any,
) -> ChangeRequest:
    """Raises ConfigError."""
    from microclaw.apps.change_log import Origin
    from microclaw.apps.deployment import ChangeRequest
    from microclaw.apps.expectation_text import parse_expectations

    if (source is None) == (wasm is None):
        raise ConfigError(f"{name[:40]!r}: give source or wasm, exactly one of the two")
    entry = None
    if origin is not None:
        entry = Origin(origin.entry, origin.version, origin.catalog, tuple(sorted(origin.params.items())))
    return ChangeRequest(
        device=device,
        name=name,
        source=source,
        wasm=wasm,
        expectations=None if expect is None else parse_expectations(expect),
        times=run_times(every_ms, stop_after_ms),
        origin=entry,
        **terms,
    )


def approve_with(call: Call, needs: Permission) -> Approve | None:
    if not call.asks:
        return None

    async def approve(text: str, detail: Sequence[str], program: AskedProgram | None = None, *_: object) -> None:
        await call.approve(text, detail, program, needs)

    return approve


def chat_of(call: Call) -> Place | None:
    """The place where the outcome is reported: the chat. A program with a token reads the status and the events."""
    from microclaw.apps.deployment import Place

    return Place(call.person_id, call.channel, call.chat_id) if call.channel != "api" else None


async def perform(apps: Apps, call: Call, request: ChangeRequest, made: type[M], *, when_back: bool) -> M:
    """Do it; where `when_back` is wanted and the device does not answer, defer it."""
    from microclaw.apps.deferring import away, offer_when_back

    device = apps.registry.get(request.device)
    request = replace(request, device=device.device_id, place=chat_of(call), begin=call.begin)
    if when_back and (why := await away(device)) is not None:
        return made.later(await apps.deferrals.keep(request, why, call.report))
    try:
        return made.of(await apps.changes.apply(request, call.report))
    except MicroclawError as exc:
        offer_when_back(exc)
        raise
