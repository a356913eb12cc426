"""The acts on programs: what is there, install, upgrade, stop, start, remove, and take changes back."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from microclaw.errors import ConfigError, DeviceTimeout, DeviceUnreachable, PermissionRefused
from microclaw.host.audit.event import AuditKind
from microclaw.host.operations.forms import NO_COMMAND, Asks, CommandForm, ManyForm, Steps, ToolForm
from microclaw.host.operations.operation import Access, Effect, OperationCall, Option, Permission, operation
from microclaw.host.operations.result import filled
from microclaw.host.operations.views import shown_as
from microclaw.programs.changes.program_requests import (
    ON_THE_BOARD,
    AppName,
    Autostart,
    DeviceName,
    Expect,
    Heap,
    Hosts,
    Language,
    Limit,
    OfDevice,
    Optimization,
    Origin,
    Source,
    Timers,
    Wasm,
    Watchdog,
    WhenBack,
    WiringText,
    approve_with,
    change_request,
    having,
    offer_when_back,
    perform,
    program_request,
    removal_permission,
)
from microclaw.programs.changes.result_views import deployment_view, listing_view, removal_view, switch_view
from microclaw.programs.changes.results import (
    AppDraft,
    AppWithSource,
    ChangeFacts,
    Changes,
    DeferralCancelled,
    DeferredFacts,
    Undone,
)
from microclaw.programs.changes.tool_forms import DEPLOY, QUERY, READ, SET_TIMES, SWITCH, UNINSTALL
from microclaw.programs.run_times import time_or_off
from microclaw.wire.wasmachine.request import DEFAULT_HEAP_BYTES, DEFAULT_TIMERS, DEFAULT_WATCHDOG_MS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from microclaw.host.auth.gate import Gate
    from microclaw.programs.changes.catalogue import AppListing
    from microclaw.programs.changes.change_log import Change
    from microclaw.programs.changes.deferring import DeferredChange
    from microclaw.programs.changes.deployment import ChangeResult, Deployment
    from microclaw.programs.changes.services import AppServices


_on_boards = partial(operation, permission=Permission.ACT, steps=Steps.SHOWN)


class ProgramContext(Struct, frozen=True):
    """The parts that the acts work with."""

    apps: AppServices
    gate: Gate


@operation("app.list", http="GET /v1/apps", access=Access.LOOK, command=CommandForm(at_address=True), tool=QUERY)
@shown_as(listing_view)
async def list_apps(programs: ProgramContext, _call: OperationCall, device: OfDevice = None) -> Sequence[AppListing]:
    """List the programs of each device."""
    return await programs.apps.catalogue.list_apps(device)


@operation("app.show", http="GET /v1/devices/{device}/apps/{name}", tool=READ)
async def show(programs: ProgramContext, _call: OperationCall, device: DeviceName, name: AppName) -> AppWithSource:
    """Show one program, with its source and proof where they are known."""
    return await programs.apps.catalogue.show(device, name)


@operation("app.draft", http="GET /v1/drafts/{name}")
async def draft(programs: ProgramContext, _call: OperationCall, name: AppName, device: OfDevice = None) -> AppDraft:
    """Show the last program of a name that an assistant wrote and that was not deployed."""
    row = await programs.apps.change_log.draft(name, _device_id(programs, device))
    return filled(AppDraft, row, device=programs.apps.registry.get(row.device_id).name)


def _device_id(programs: ProgramContext, device: str | None) -> str | None:
    if device is None:
        return None
    return programs.apps.registry.get(device).device_id


async def _removal_needs(
    programs: ProgramContext, call: OperationCall, device: str, name: str, when_back: bool = False
) -> Permission:
    """Weigh a removal by what is there now. Raises AppNotFound if the program is not."""
    from microclaw.programs.changes.program_state import not_found

    if call.is_planned:
        if await programs.apps.change_log.holds(device, name):
            return Permission.ACT
        return Permission.RISKY
    listings = await _listings_if_there(programs, call, device, when_back=when_back)
    if listings is None:
        return Permission.RISKY
    if all(listing.name != name for listing in listings):
        on_board = [listing.name for listing in listings if listing.condition in ON_THE_BOARD]
        raise not_found(programs.apps.registry.get(device), name, on_board)
    return removal_permission(name, listings)


async def _listings_if_there(
    programs: ProgramContext, call: OperationCall, device: str, *, when_back: bool
) -> Sequence[AppListing] | None:
    """Return the programs of a device, or None if it is away and the act may wait for it."""
    try:
        return await programs.apps.catalogue.list_apps(device)
    except (DeviceUnreachable, DeviceTimeout) as exc:
        if when_back:
            return None
        offer_when_back(call, exc)
        raise


async def _install_needs(
    programs: ProgramContext,
    call: OperationCall,
    device: str,
    name: str,
    *,
    replace: bool = False,
    force: bool = False,
    when_back: bool = False,
    **_: Any,
) -> Permission:
    if force:
        return Permission.RISKY
    if not replace:
        return Permission.ACT
    listings = await _listings_if_there(programs, call, device, when_back=when_back)
    if listings is None:
        return Permission.RISKY
    return removal_permission(name, listings)


@_on_boards(
    "app.install",
    http="POST /v1/devices/{device}/apps",
    many=ManyForm("POST /v1/apps", "apps.install"),
    steps=Steps.CANCELLABLE,
    asks=Asks.ITSELF,
    effect=Effect.IDEMPOTENT,
    before=_install_needs,
    words="deploy {name} to {device}",
    command=CommandForm(at_address=True),
    tool=DEPLOY,
)
@shown_as(deployment_view)
async def install(  # noqa: PLR0913, RUF100 - one parameter for each field of the request
    programs: ProgramContext,
    call: OperationCall,
    device: DeviceName,
    name: AppName,
    *,
    source: Source = None,
    wasm: Wasm = None,
    language: Language = None,
    heap_bytes: Heap = DEFAULT_HEAP_BYTES,
    timers: Timers = DEFAULT_TIMERS,
    watchdog_ms: Watchdog = DEFAULT_WATCHDOG_MS,
    optimization: Optimization = "O3",
    replace: Annotated[bool, Meta(description="Also one of that name that this host did not install.")] = False,
    force: Annotated[bool, Meta(description="Also when its trial fails.")] = False,
    expect: Expect = None,
    origin: Origin = None,
    every_ms: Annotated[int | None, Meta(description="Start it again at this interval; null: it runs on.")] = None,
    stop_after_ms: Annotated[int | None, Meta(description="Of each run.")] = None,
    wiring: WiringText = None,
    hosts: Hosts = [],  # noqa: B006  msgspec makes a list for each
    autostart: Autostart = True,
    when_back: WhenBack = False,
) -> ChangeResult | DeferredChange:
    """Build, check, try, install and verify a program."""
    target = programs.apps.registry.get(device)
    needs = await _install_needs(programs, call, device, name, replace=replace, force=force, when_back=when_back)
    if force:
        programs.gate.check(call.person_id, needs, f"deploy {name} to {target.name}")
        text = f"deploy {name}, also if its trial fails"
        programs.gate.note(AuditKind.FORCED, text, call.person_id, about=target.name)
    request = program_request(
        target.device_id, name, source=source, wasm=wasm, expect=expect, every_ms=every_ms,
        stop_after_ms=stop_after_ms, origin=origin, wiring=wiring, hosts=hosts, language=language,
        optimization=optimization, heap_bytes=heap_bytes, timers=timers, watchdog_ms=watchdog_ms, replace=replace,
        force=force, autostart=autostart, approve=approve_with(call, needs),
    )  # fmt: skip
    return await perform(programs.apps, call, request, when_back=when_back)


@_on_boards(
    "app.upgrade",
    http="POST /v1/devices/{device}/apps/{name}/upgrade",
    many=ManyForm("POST /v1/apps/{name}/upgrade", "apps.install", among=partial(having, stopped=False)),
    steps=Steps.CANCELLABLE,
    asks=Asks.ITSELF,
    words="upgrade {name} on {device}",
)
@shown_as(deployment_view)
async def upgrade(  # noqa: PLR0913, RUF100 - one parameter for each field of the request
    programs: ProgramContext,
    call: OperationCall,
    device: DeviceName,
    name: AppName,
    *,
    source: Source = None,
    wasm: Wasm = None,
    language: Language = None,
    optimization: Optimization = "O3",
    expect: Expect = None,
    origin: Origin = None,
    wiring: WiringText = None,
    hosts: Hosts = [],  # noqa: B006  msgspec makes a list for each
    when_back: WhenBack = False,
) -> ChangeResult | DeferredChange:
    """Put a new version where it is, with its heap, timers, watchdog, times, and without a new wiring with the old.

    The old one comes back where the new one is not verified.
    """
    device_id = programs.apps.registry.get(device).device_id
    request = program_request(
        device_id, name, source=source, wasm=wasm, expect=expect, origin=origin, wiring=wiring, hosts=hosts,
        act="upgrade", language=language, optimization=optimization, approve=approve_with(call, Permission.ACT),
    )  # fmt: skip
    return await perform(programs.apps, call, request, when_back=when_back)


@operation(
    "app.uninstall",
    http="DELETE /v1/devices/{device}/apps/{name}",
    many=ManyForm("POST /v1/apps/{name}/remove", offers="apps.remove", among=having),
    permission=Permission.ACT,
    effect=Effect.IDEMPOTENT,
    asks=Asks.BEFORE,
    steps=Steps.SHOWN,
    before=_removal_needs,
    words="remove {name} from {device}",
    command=CommandForm(said="{name} is off {device} ({evidence.text})", at_address=True),
    tool=UNINSTALL,
)
@shown_as(removal_view)
async def uninstall(
    programs: ProgramContext, call: OperationCall, device: DeviceName, name: AppName, when_back: WhenBack = False
) -> ChangeResult | DeferredChange:
    """Take a program off a device."""
    request = change_request(device, name, "uninstall")
    return await perform(programs.apps, call, request, when_back=when_back)


def _switch(verb: str, done: str, *, stopped: bool) -> operation:
    return _on_boards(
        f"app.{verb}",
        http=f"POST /v1/devices/{{device}}/apps/{{name}}/{verb}",
        many=ManyForm(f"POST /v1/apps/{{name}}/{verb}", "apps.install", among=partial(having, stopped=stopped)),
        asks=Asks.BEFORE,
        words=f"{verb} {{name}} on {{device}}",
        command=CommandForm(said=f"{{name}} is {done} on {{device}} ({{evidence.text}})"),
    )


@_switch("stop", "stopped", stopped=False)
@shown_as(switch_view)
async def stop(
    programs: ProgramContext, call: OperationCall, device: DeviceName, name: AppName, when_back: WhenBack = False
) -> ChangeResult | DeferredChange:
    """Stop a program: it is off the device, stays off after a reset, and its image is kept for a start."""
    request = change_request(device, name, "stop")
    return await perform(programs.apps, call, request, when_back=when_back)


@_switch("start", "started", stopped=True)
@shown_as(switch_view)
async def start(
    programs: ProgramContext, call: OperationCall, device: DeviceName, name: AppName, when_back: WhenBack = False
) -> ChangeResult | DeferredChange:
    """Start a program that was stopped, or that has ended, from its kept image."""
    request = change_request(device, name, "start")
    return await perform(programs.apps, call, request, when_back=when_back)


@_switch("restart", "restarted", stopped=False)
@shown_as(switch_view)
async def restart(programs: ProgramContext, call: OperationCall, device: DeviceName, name: AppName) -> ChangeResult:
    """Take a program off and put the same image there again."""
    return await programs.apps.changes.apply(change_request(device, name, "restart"), call.report)


@operation(
    "app.switch",
    permission=Permission.ACT,
    command=NO_COMMAND,
    words="{switch} {name} on {device}",
    tool=SWITCH,
)
@shown_as(switch_view)
async def switch_program(
    programs: ProgramContext,
    call: OperationCall,
    device: DeviceName,
    name: AppName,
    switch: Literal["stop", "start", "restart"],
) -> ChangeResult:
    """Stop a program and keep it for later, start a stopped one again, or restart one."""
    return await programs.apps.changes.apply(change_request(device, name, switch), call.report)


@_on_boards(
    "app.set",
    http="POST /v1/devices/{device}/apps/{name}/times",
    many=ManyForm("POST /v1/apps/{name}/times", "apps.install", among=partial(having, stopped=False)),
    asks=Asks.ITSELF,
    words="set when {name} runs on {device}",
    tool=SET_TIMES,
)
@shown_as(deployment_view)
async def set_times(
    programs: ProgramContext,
    call: OperationCall,
    device: DeviceName,
    name: AppName,
    *,
    every_ms: Annotated[
        int | UnsetType | None,
        Meta(description="Start it again at this interval; off removes it."),
        Option("--every", metavar="TIME|off", reads=time_or_off),
    ] = UNSET,
    stop_after_ms: Annotated[
        int | UnsetType | None,
        Meta(description="Of each run."),
        Option("--stop-after", metavar="TIME|off", reads=time_or_off),
    ] = UNSET,
) -> Deployment:
    """Change when a program runs; a time that is left out stays, off removes it. The program is tried again."""
    if every_ms is UNSET and stop_after_ms is UNSET:
        raise ConfigError("nothing to set", next_step="give --every TIME or --stop-after TIME, or off for one")
    request = change_request(device, name, approve=approve_with(call, Permission.ACT))
    return await programs.apps.changes.set_times(request, call.report, every_ms, stop_after_ms)


@operation(
    "app.cancel",
    http="POST /v1/devices/{device}/apps/{name}/cancel",
    permission=Permission.ACT,
    asks=Asks.BEFORE,
    words="cancel what is deferred for {name} on {device}",
    command=CommandForm(said="the {deferred.act} of {name} on {device} is dropped; nothing was changed there"),
)
async def cancel(
    programs: ProgramContext, _call: OperationCall, device: DeviceName, name: AppName
) -> DeferralCancelled:
    """Cancel an action queued for a program until its device is back (--when-back)."""
    target = programs.apps.registry.get(device)
    act = await programs.apps.deferrals.cancel(target.device_id, name)
    return DeferralCancelled(device=target.name, name=act.name, deferred=DeferredFacts.of(act))


@operation("app.changes", http="GET /v1/changes", tool=ToolForm("list-changes"))
async def changes(
    programs: ProgramContext, _call: OperationCall, device: OfDevice = None, limit: Limit = 50
) -> Changes:
    """List the changes made to devices, newest first: what, when, by whom, and whether undo can revert it."""
    from microclaw.programs.changes.change_text import replacements
    from microclaw.programs.changes.undo import undoable

    zone = programs.apps.zone
    device_id = _device_id(programs, device)
    history = await programs.apps.change_log.changes(device_id, limit)
    undoable_ids = undoable(history)
    others = replacements(history)
    rows = [_change_facts(programs, change, undoable_ids, others.get(change.change_id)) for change in history]
    return Changes(today=datetime.now(zone).date().isoformat(), changes=rows)


def _change_facts(
    programs: ProgramContext, change: Change, undoable_ids: Collection[int], other: Change | None
) -> ChangeFacts:
    from microclaw.programs.changes.change_text import done_text

    device = change.device_id
    for known in programs.apps.registry.list():
        if known.device_id == change.device_id:
            device = known.name
    by = "the host"
    if change.by is not None:
        by = programs.gate.name_of(change.by)
    moment = datetime.fromtimestamp(change.at_ms / 1000, programs.apps.zone)
    return filled(
        ChangeFacts,
        change,
        device=device,
        undoable=change.change_id in undoable_ids,
        did=done_text(change, other),
        local_time=f"{moment:%Y-%m-%d %H:%M}",
        by=by,
    )


@operation(
    "app.undo", http="POST /v1/undo", permission=Permission.ACT, steps=Steps.SHOWN, asks=Asks.ITSELF, words="undo"
)
async def undo(
    programs: ProgramContext,
    call: OperationCall,
    change_id: Annotated[
        Annotated[int, Meta(ge=1, lt=2**53)] | None,
        Option(argument=True, metavar="CHANGE"),
        Meta(description="A change's number; else all of the newest request."),
    ] = None,
    device: OfDevice = None,
) -> Undone:
    """Revert all that your last request changed, or one change."""
    from microclaw.programs.changes.undo import UndoChoice, change_text

    choice = UndoChoice(call.person_id, change_id, _device_id(programs, device))
    if call.asks:
        text = "undo what was done last"
        if change_id is not None:
            text = f"undo change {change_id}"
        shown = await programs.apps.undo.chosen(choice)
        await call.approve(text, [f"reverts: {change_text(change)}" for change in shown])
        if await programs.apps.undo.chosen(choice) != shown:
            raise PermissionRefused("something was changed while somebody was asked", next_step="ask again")
    return await programs.apps.undo.undo(choice, call.report)
