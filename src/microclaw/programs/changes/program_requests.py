"""The common part of acts on programs: parameters, request, approval, and what waits for a device that is away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias, get_args

from msgspec import Meta
from msgspec.structs import replace

from microclaw.devices.registry.calls import AppList
from microclaw.errors import (
    AppNotFound,
    ConfigError,
    DeviceTimeout,
    DeviceUnreachable,
    InstallInterrupted,
    MicroclawError,
    OutcomeUnknown,
)
from microclaw.host.operations.operation import Approve, OperationCall, Permission
from microclaw.programs.changes.results import AppCondition, AppOrigin
from microclaw.programs.named_hosts import read_hosts
from microclaw.programs.run_times import run_times
from microclaw.text import MAX_PROGRAM_CHARS

if TYPE_CHECKING:
    from microclaw.devices.registry.device import Device
    from microclaw.events import AskedProgram
    from microclaw.programs.changes import change_log
    from microclaw.programs.changes.catalogue import AppListing
    from microclaw.programs.changes.deferring import DeferredChange
    from microclaw.programs.changes.deployment import ChangeRequest, ChangeResult
    from microclaw.programs.changes.program_state import Act
    from microclaw.programs.changes.services import AppServices

_OFFER: Final = "have it done when it is back: the same with --when-back"
ON_THE_BOARD: Final = frozenset({"waiting", "running", "listed", "ended", "trapped", "dead"})
"""The conditions of programs that a device lists."""
_TO_START: Final = frozenset({"stopped", "deferred", "ended", "trapped", "dead"})
_ALL_CONDITIONS: Final = frozenset(get_args(AppCondition))
_TO_STOP: Final = _ALL_CONDITIONS - {"stopped"}

MAX_EXPECT_CHARS: Final = 16 * 1024

DeviceName: TypeAlias = Annotated[str, Meta(description="The device's name.")]
AppName: TypeAlias = Annotated[str, Meta(min_length=1, max_length=126, description="The program's name.")]
Source: TypeAlias = Annotated[
    str | None, Meta(min_length=1, max_length=MAX_PROGRAM_CHARS, description="The program; or `wasm`.")
]
Language: TypeAlias = Annotated[
    Literal["c", "c++", "sketch", "python"] | None, Meta(description="Without it the source says it.")
]
Wasm: TypeAlias = Annotated[bytes | None, Meta(description="A module's bytes as base64; or `source`.")]
Optimization: TypeAlias = Annotated[str, Meta(pattern=r"^O[0-3sz]$", description="O0, O1, O2, O3, Os or Oz.")]
Heap: TypeAlias = Annotated[int, Meta(ge=256, le=16 << 20, description="The size of its heap in bytes.")]
Timers: TypeAlias = Annotated[int, Meta(ge=1, le=255, description="The most timers that it may use.")]
Watchdog: TypeAlias = Annotated[
    int, Meta(ge=1000, le=86_400_000, description="The longest time that one of its callbacks may take.")
]
Expect: TypeAlias = Annotated[
    str | None, Meta(max_length=MAX_EXPECT_CHARS, description="What it must do, one expectation on each line.")
]
WiringText: TypeAlias = Annotated[
    str | None,
    Meta(description="What is wired to it in its trials: the text of a wiring.toml or of a Wokwi diagram.json."),
]
Hosts: TypeAlias = Annotated[
    list[str],
    Meta(max_length=64, description="Hosts that it talks to and its source does not name, each as HOST:PORT."),
]
Autostart: TypeAlias = Annotated[bool, Meta(description="Start at each boot.")]
Origin: TypeAlias = Annotated[AppOrigin | None, Meta(description="The catalogue entry that it comes from.")]
OfDevice: TypeAlias = Annotated[str | None, Meta(description="Only of this device.")]
WhenBack: TypeAlias = Annotated[
    bool, Meta(description="If the device does not answer: do it when the device is back, and report it then.")
]
Limit: TypeAlias = Annotated[int, Meta(ge=1, le=1000, description="At most this many.")]


async def having(
    programs: Any, devices: Sequence[Device], name: str, *, stopped: bool | None = None, **_: Any
) -> Sequence[Device]:
    """Return the devices that have the program; the desired state of a device that is away counts, too.

    `stopped` chooses the devices on which it can be started (stopped, or ended), or those on which it is not stopped.
    """
    conditions = _ALL_CONDITIONS
    what = "on"
    if stopped is True:
        conditions = _TO_START
        what = "stopped on"
    elif stopped is False:
        conditions = _TO_STOP
        what = "running on"
    names = set()
    for listing in await programs.apps.catalogue.list_apps():
        if listing.name == name and listing.condition in conditions:
            names.add(listing.device)
    matching = [device for device in devices if device.name in names]
    if not matching:
        raise AppNotFound(f"{name!r} is {what} none of {len(devices)} devices", next_step="microclaw app list")
    return matching


def removal_permission(name: str, listings: Sequence[AppListing]) -> Permission:
    """Return what a removal needs: to remove a program that this host did not install, and has no copy of, is risky."""
    if any(listing.name == name and listing.foreign for listing in listings):
        return Permission.RISKY
    return Permission.ACT


def change_request(device: str, name: str, act: Act = "install", **terms: Any) -> ChangeRequest:
    """Return the request; its class is loaded with the first."""
    from microclaw.programs.changes.deployment import ChangeRequest

    return ChangeRequest(device, name, act, **terms)


def program_request(  # noqa: PLR0913, RUF100 - one parameter for each field of the request
    device: str,
    name: str,
    *,
    source: str | None,
    wasm: bytes | None,
    expect: str | None,
    every_ms: int | None = None,
    stop_after_ms: int | None = None,
    origin: AppOrigin | None = None,
    wiring: str | None = None,
    hosts: Sequence[str] = (),
    **terms: Any,
) -> ChangeRequest:
    """Return the request for a program of the user. Raises ConfigError; UnknownName for an unknown part."""
    from microclaw.hardware.parts.wiring_file import read_wiring_text
    from microclaw.programs.proof.expectation_text import parse_expectations

    if (source is None) == (wasm is None):
        raise ConfigError(f"{name[:40]!r}: give source or wasm, exactly one of the two")
    expectations = None
    if expect is not None:
        expectations = parse_expectations(expect)
    parts = None
    if wiring is not None:
        parts = read_wiring_text(wiring)
    return change_request(
        device,
        name,
        source=source,
        wasm=wasm,
        expectations=expectations,
        times=run_times(every_ms, stop_after_ms),
        origin=_stored_origin(origin),
        wiring=parts,
        hosts=read_hosts(hosts),
        **terms,
    )


def _stored_origin(origin: AppOrigin | None) -> change_log.Origin | None:
    # It brings the store, which the command line does not need.
    from microclaw.programs.changes.change_log import Origin

    if origin is None:
        return None
    params = sorted(origin.params.items())
    return Origin(origin.entry, origin.version, origin.catalog, tuple(params))


def approve_with(call: OperationCall, needs: Permission) -> Approve:
    """Return how an installation is asked for. A caller who is not asked for it still is for the program's network."""

    async def approve(
        text: str, detail: Sequence[str], program: AskedProgram | None = None, network: Permission | None = None
    ) -> None:
        if call.asks or network is not None:
            await call.approve(text, detail, program, network or needs)

    return approve


def offer_when_back(call: OperationCall, error: MicroclawError) -> None:
    """Name the way out in the error of a device that did not answer, if nothing was begun on it."""
    is_away = isinstance(error, DeviceUnreachable | DeviceTimeout)
    if call.may_defer and is_away and not isinstance(error, InstallInterrupted | OutcomeUnknown):
        error.next_step = "; or ".join(filter(None, (error.next_step, _OFFER)))


async def perform(
    apps: AppServices, call: OperationCall, request: ChangeRequest, *, when_back: bool = False
) -> ChangeResult | DeferredChange:
    """Do it, or defer it if the device does not answer and `when_back` is wanted."""
    from microclaw.programs.changes.deployment import Place

    device = apps.registry.get(request.device)
    place = None
    # A program with a token reads the status and the events instead.
    if call.channel != "api":
        place = Place(call.person_id, call.channel, call.chat_id)
    request = replace(request, device=device.device_id, begin=call.on_begin)
    if when_back:
        try:
            await device.call(AppList(), wait=False)
        except (DeviceUnreachable, DeviceTimeout) as exc:
            return await apps.deferrals.keep(request, place, exc.message, call.report)
    try:
        return await apps.changes.apply(request, call.report)
    except MicroclawError as exc:
        offer_when_back(call, exc)
        raise
