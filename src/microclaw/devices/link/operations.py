"""The operations of devices with a link: pairing, provisioning, notes, credentials, Wi-Fi."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

from msgspec import Meta, Struct

from microclaw.devices.link.device_facts import device_facts
from microclaw.devices.link.results import (
    DeviceDetails,
    NotedDevice,
    Provisioned,
    RevokedDevice,
    WifiNetworks,
    WifiTrialFacts,
)
from microclaw.devices.registry import calls
from microclaw.devices.registry.calls import WifiForget, WifiList, WifiSet, WifiTrial
from microclaw.errors import ConfigError, DeviceTimeout, DeviceUnreachable
from microclaw.events import Step
from microclaw.host.audit.event import AuditKind
from microclaw.host.operations.forms import NO_COMMAND, Asks, CommandForm, HttpAnswer, Steps
from microclaw.host.operations.operation import NAME, Access, Effect, OperationCall, Option, Permission, operation
from microclaw.text import clean_text

if TYPE_CHECKING:
    from microclaw.devices.link.server import LinkServer
    from microclaw.devices.registry.device import Device
    from microclaw.devices.registry.registry import Registry
    from microclaw.host.auth.gate import Gate

F = TypeVar("F", bound=DeviceDetails)
_LIST_S = 5.0
_POLL_S = 0.5
# After a failed trial the board needs this time to rejoin its former network and to connect again.
_BACK_S = 120.0


class LinkService(Struct, frozen=True, kw_only=True):
    """The parts that the operations use. `link` is the server for devices, None if the host has none.

    `free_pins` returns the output pins of each device, by its id, that no program has.
    """

    registry: Registry
    gate: Gate
    link: LinkServer | None
    free_pins: Callable[[Sequence[Device]], Awaitable[Mapping[str, list[int]]]]

    @property
    def server(self) -> LinkServer:
        """The server for devices. Raises ConfigError if the host has none."""
        if self.link is None:
            raise ConfigError("this host has no link for devices", next_step="microclaw up --link 127.0.0.1:8443")
        return self.link

    async def facts(self, device: Device, form: type[F], **more: Any) -> F:
        """Fill a form with the facts of a device, and with `more`."""
        free_pins = await self.free_pins([device])
        return device_facts(device, self.link, form, free_pins=free_pins[device.device_id], **more)

    def by(self, call: OperationCall) -> str:
        """Return the caller's name, for the security log."""
        return self.gate.name_of(call.person_id)


DeviceName: TypeAlias = Annotated[
    str, Meta(pattern=NAME, description="The device."), Option(argument=True, metavar="NAME")
]
Board: TypeAlias = Annotated[str | None, Meta(max_length=64, description="The board's profile.")]
Address: TypeAlias = Annotated[
    str | None, Meta(min_length=1, max_length=253, description="How the device reaches this host.")
]


@operation(
    "device.pair",
    http="POST /v1/devices/pair",
    permission=Permission.ACT,
    access=Access.SOCKET,
    answer=HttpAnswer(201, place="/v1/devices/{name}"),
    command=CommandForm(said="{name} is paired ({title}). Try: microclaw device show {name}"),
    words="pair a device",
)
async def pair(
    service: LinkService,
    call: OperationCall,
    *,
    code: Annotated[str, Meta(min_length=1, max_length=32, description="The 6 digits that the device shows.")],
    name: Annotated[str | None, Meta(max_length=64, description="What to call it.")] = None,
    device: Annotated[str | None, Meta(max_length=64, description="The known device that it is.")] = None,
    board: Annotated[
        str | None, Meta(max_length=64, description="The board's profile, where the device has its own name for it.")
    ] = None,
) -> DeviceDetails:
    """Pair the device that shows CODE; with -d NAME it is that known device. See who waits: microclaw device list."""
    paired = await service.server.pair(code, name=name, device=device, board=board, by=service.by(call))
    return await service.facts(paired, DeviceDetails)


@operation(
    "device.provision",
    http="POST /v1/devices/provision",
    permission=Permission.ACT,
    access=Access.SOCKET,
    command=NO_COMMAND,
)
async def provision(
    service: LinkService,
    _: OperationCall,
    name: str,
    board: Board = None,
    secret: bool = True,
    host: Address = None,
) -> Provisioned:
    """Make the facts that a new device needs to find this host and to be paired."""
    provisioning = await service.server.provision(name, board=board, with_secret=secret, host=host)
    return Provisioned(**asdict(provisioning), only_local=service.server.is_local)


@operation(
    "device.revoke",
    http="POST /v1/devices/{device}/revoke",
    permission=Permission.ACT,
    access=Access.OWN,
    effect=Effect.IDEMPOTENT,
    command=CommandForm(
        said="{device}: {revoked} credentials revoked",
        confirm="{device} will be cut off until it is paired again. Go on?",
    ),
)
async def revoke(service: LinkService, call: OperationCall, device: DeviceName) -> RevokedDevice:
    """Revoke all credentials of a device, at once; it can be paired again."""
    revoked_count = await service.server.revoke(device, by=service.by(call))
    return RevokedDevice(device=service.registry.get(device).name, revoked=revoked_count)


@operation(
    "device.notify",
    http="POST /v1/devices/{device}/notify",
    permission=Permission.ACT,
    asks=Asks.ITSELF,
    command=CommandForm(said="{device} {news}"),
    words="tell {device}",
)
async def notify(
    service: LinkService,
    call: OperationCall,
    device: DeviceName,
    *,
    text: Annotated[str, Meta(min_length=1, max_length=2000, description="The text of the note."), Option(rest=True)],
    speak: Annotated[bool, Meta(description="Say it aloud, if the device can.")] = False,
    expires_s: Annotated[
        int | None,
        Meta(ge=1, le=30 * 24 * 3600, description="Worth nothing after that."),
        Option("--expires", metavar="SECONDS"),
    ] = None,
) -> NotedDevice:
    """Send a device a note, now or when it is back."""
    await call.approve(f"tell {service.registry.get(device).name}", (text,))
    state = await service.server.notify(device, text, speak=speak, expires_s=expires_s)
    return NotedDevice(device=service.registry.get(device).name, state=state)


@operation("device.wifi-list", http="GET /v1/devices/{device}/wifi", access=Access.OWN, command=NO_COMMAND)
async def list_wifi(service: LinkService, _: OperationCall, device: DeviceName) -> WifiNetworks:
    """List the networks that the board knows, and the outcome of the trial of a new one."""
    board = service.registry.get(device)
    board.transport_for(WifiList.method)
    online = False
    answer = calls.BoardNetworks(())
    with suppress(DeviceUnreachable, DeviceTimeout):
        online = True
        answer = await board.call(WifiList(), _LIST_S, wait=False)
    ssid = None
    if answer.ssid is not None:
        ssid = _clean_ssid(answer.ssid)
    trial = None
    if answer.trial is not None:
        trial = _trial_facts(board, answer.trial)
    networks = [_clean_ssid(network) for network in answer.networks]
    return WifiNetworks(device=board.name, online=online, networks=networks, ssid=ssid, trial=trial)


@operation(
    "device.wifi-set",
    http="POST /v1/devices/{device}/wifi",
    permission=Permission.RISKY,
    access=Access.OWN,
    asks=Asks.ITSELF,
    steps=Steps.SHOWN,
    command=NO_COMMAND,
)
async def set_wifi(
    service: LinkService,
    call: OperationCall,
    device: DeviceName,
    *,
    ssid: Annotated[str, Meta(min_length=1, max_length=32)],
    password: Annotated[str | None, Meta(min_length=8, max_length=63)] = None,
    later: bool = False,
    forget: bool = False,
) -> WifiTrialFacts:
    """Try another network, wait for the outcome, and return to the former one if the host is not reached over it.

    `later`: the board only notes it.

    `forget`: the board forgets a network, but never its current one.
    """
    board = service.registry.get(device)
    if forget:
        return await _forget_wifi(service, call, board, ssid)
    network = _clean_ssid(ssid)
    # This comes first: no person is asked to approve an impossible call.
    board.transport_for(WifiSet.method)
    await call.approve(f"give {board.name} the Wi-Fi {network}", ())
    trial = await board.call(WifiSet(ssid, password, later), wait=False)
    service.gate.note(AuditKind.DEVICE_CHANGED, f"Wi-Fi {network}", call.person_id, about=board.name)
    if trial.state == "trying":
        call.report(Step("try", f"{board.name} tries {network}, for {trial.seconds or 0} s at most", "running"))
        trial = await _wait_for_outcome(board, trial)
    return _trial_facts(board, trial)


async def _forget_wifi(service: LinkService, call: OperationCall, board: Device, ssid: str) -> WifiTrialFacts:
    network = _clean_ssid(ssid)
    board.transport_for(WifiForget.method)
    await call.approve(f"have {board.name} forget the Wi-Fi {network}", ())
    await board.call(WifiForget(ssid), wait=False)
    service.gate.note(AuditKind.DEVICE_CHANGED, f"Wi-Fi {network} forgotten", call.person_id, about=board.name)
    return _trial_facts(board, WifiTrial(ssid, "forgotten"))


async def _wait_for_outcome(board: Device, running: WifiTrial) -> WifiTrial:
    """Ask the board until it is back and reports the outcome of the trial."""
    try:
        async with asyncio.timeout((running.seconds or 0) + _BACK_S):
            while True:
                # The board does not report the outcome by itself.
                await asyncio.sleep(_POLL_S)
                with suppress(DeviceUnreachable, DeviceTimeout):
                    networks = await board.call(WifiList(), _LIST_S, wait=False)
                    trial = networks.trial
                    if trial is not None and trial.ssid == running.ssid and trial.state != "trying":
                        return trial
    except TimeoutError as exc:
        raise DeviceTimeout(
            f"{board.name} tries {_clean_ssid(running.ssid)} and has not come back yet",
            next_step="is its former Wi-Fi still there? Else its own access point after two minutes, or: "
            "microclaw flash --wifi SSID, with a cable",
        ) from exc


def _trial_facts(device: Device, trial: WifiTrial) -> WifiTrialFacts:
    reason = None
    if trial.why is not None:
        reason = clean_text(trial.why, one_line=True, limit=200)
    ssid = _clean_ssid(trial.ssid)
    return WifiTrialFacts(device=device.name, ssid=ssid, state=trial.state, why=reason, seconds=trial.seconds)


def _clean_ssid(ssid: str) -> str:
    """Clean a network's name, which the board or any person near it chose."""
    return clean_text(ssid, one_line=True, limit=32)
