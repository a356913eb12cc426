"""The acts of devices that come by themselves: pairing, what a new one needs, notes, credentials, Wi-Fi."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias

from msgspec import Meta, Struct

from microclaw.audit.event import AuditKind
from microclaw.auth.provisioning import Provision
from microclaw.devices import calls
from microclaw.devices.calls import WifiForget, WifiList, WifiSet, WifiTrial
from microclaw.errors import ConfigError, DeviceTimeout, DeviceUnreachable
from microclaw.events import Step
from microclaw.link_server.device_facts import DeviceFacts, device_facts
from microclaw.operations.operation import NAME, Access, Call, Effect, Option, Permission, operation
from microclaw.operations.result import Result
from microclaw.text import clean_text

if TYPE_CHECKING:
    from microclaw.auth.gate import Gate
    from microclaw.devices.device import Device
    from microclaw.devices.registry import Registry
    from microclaw.link_server.server import LinkServer

_LIST_S = 5.0
_POLL_S = 0.5
_BACK_S = 120.0  # after a trial: until the board is back in its former network, and has dialled again


class LinkService(Struct, frozen=True, kw_only=True):
    """The parts that the acts work with. `link` is where devices connect, None without one."""

    registry: Registry
    gate: Gate
    link: LinkServer | None

    @property
    def server(self) -> LinkServer:
        """Raises ConfigError without one."""
        if self.link is None:
            raise ConfigError("this host has no link for devices", next_step="microclaw up --link 127.0.0.1:8443")
        return self.link

    def by(self, call: Call) -> str:
        """The name of who asks, for the security log."""
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
    status=201,
    place="/v1/devices/{name}",
    said="{name} is paired ({title}). Try: microclaw device show {name}",
    words="pair a device",
)
async def pair(
    service: LinkService,
    call: Call,
    code: Annotated[str, Meta(min_length=1, max_length=32, description="The 6 digits that the device shows.")],
    name: Annotated[str | None, Meta(max_length=64, description="What to call it.")] = None,
    device: Annotated[str | None, Meta(max_length=64, description="The known device that it is.")] = None,
    board: Annotated[
        str | None, Meta(max_length=64, description="The board's profile, where the device has its own name for it.")
    ] = None,
) -> DeviceFacts:
    """Let the device that shows CODE in; with -d NAME it is that known device. Who waits: microclaw device list."""
    paired = await service.server.pair(code, name=name, device=device, board=board, by=service.by(call))
    return device_facts(paired, service.link, DeviceFacts)


class Provisioned(Result, frozen=True, kw_only=True):
    """`only_local`: the link is not open to the network."""

    document: ClassVar = "provision"

    name: str
    host: str
    port: int
    ca_sha256: str
    secret: str | None
    expires_ms: int | None
    only_local: bool

    @property
    def given(self) -> Provision:
        """It as text, file and QR code."""
        return Provision(self.host, self.port, self.ca_sha256, self.secret, self.expires_ms, self.name)

    def lines(self) -> Iterable[str]:
        yield self.given.to_text()
        if self.only_local:
            yield "this host lets in devices of this machine alone; others: microclaw up --link 0.0.0.0:8443"
        if self.secret:
            yield "the secret is good for one device, for 30 days"


@operation(
    "device.provision",
    http="POST /v1/devices/provision",
    permission=Permission.ACT,
    access=Access.SOCKET,
    is_command=False,
)
async def provision(
    service: LinkService,
    _: Call,
    name: str,
    board: Board = None,
    secret: bool = True,
    host: Address = None,
) -> Provisioned:
    """Give out what a new device needs to find this host and be paired."""
    made = await service.server.provision(name, board=board, with_secret=secret, host=host)
    return Provisioned(**asdict(made), only_local=service.server.is_local)


class RevokedDevice(Result, frozen=True, kw_only=True):
    """`revoked`: so many credentials were still good."""

    document: ClassVar = "revoked"

    device: str
    revoked: int


@operation(
    "device.revoke",
    http="POST /v1/devices/{device}/revoke",
    permission=Permission.ACT,
    access=Access.OWN,
    effect=Effect.IDEMPOTENT,
    said="{device}: {revoked} credentials revoked",
    confirm="{device} will be cut off until it is paired again. Go on?",
)
async def revoke(service: LinkService, call: Call, device: DeviceName) -> RevokedDevice:
    """End what a device's credentials open, at once; it can be paired again."""
    ended = await service.server.revoke(device, by=service.by(call))
    return RevokedDevice(device=service.registry.get(device).name, revoked=ended)


class NotedDevice(Result, frozen=True, kw_only=True):
    document: ClassVar = "notify"

    device: str
    state: Literal["delivered", "waiting"]

    @property
    def news(self) -> str:
        return "has it" if self.state == "delivered" else "is not connected: it gets it when it comes back"


@operation(
    "device.notify",
    http="POST /v1/devices/{device}/notify",
    permission=Permission.ACT,
    previews=True,
    said="{device} {news}",
    words="tell {device}",
)
async def notify(
    service: LinkService,
    call: Call,
    device: DeviceName,
    text: Annotated[str, Meta(min_length=1, max_length=2000, description="What to tell it."), Option(rest=True)],
    speak: Annotated[bool, Meta(description="Say it aloud, where the device can.")] = False,
    expires_s: Annotated[
        int | None,
        Meta(ge=1, le=30 * 24 * 3600, description="Worth nothing after that."),
        Option("--expires", metavar="SECONDS"),
    ] = None,
) -> NotedDevice:
    """Tell a device something, now or when it is back."""
    await call.approve(f"tell {service.registry.get(device).name}", (text,))
    state = await service.server.notify(device, text, speak=speak, expires_s=expires_s)
    return NotedDevice(device=service.registry.get(device).name, state=state)


class WifiTrialFacts(Result, frozen=True, kw_only=True):
    """`state` is trying, kept, failed or forgotten."""

    document: ClassVar = "wifi"

    device: str
    ssid: str
    state: str
    why: str | None
    seconds: int | None

    @property
    def exit_code(self) -> int:
        return int(self.state == "failed")

    def lines(self) -> Iterable[str]:
        news = {"kept": f"knows {self.ssid}", "forgotten": f"has forgotten {self.ssid}"}
        yield f"{self.device} {news.get(self.state, f'stays in its former Wi-Fi: {self.ssid}: {self.why}')}"


class WifiNetworks(Result, frozen=True, kw_only=True):
    """`ssid` is the one that it is in, `trial` how the trial of another one ended."""

    document: ClassVar = "wifi"

    device: str
    online: bool
    networks: list[str]
    ssid: str | None
    trial: WifiTrialFacts | None

    @property
    def exit_code(self) -> int:
        return 0 if self.online else DeviceUnreachable.exit_code

    def lines(self) -> Iterable[str]:
        if not self.online:
            yield f"{self.device} is not connected: switch it on, and ask again"
        yield from (f"{one}{'  (connected)' if one == self.ssid else ''}" for one in self.networks)
        if self.trial is not None and self.trial.state == "failed":
            yield f"the last change failed: {self.trial.ssid}: {self.trial.why or 'no reason given'}"


@operation("device.wifi-list", http="GET /v1/devices/{device}/wifi", access=Access.OWN, is_command=False)
async def list_wifi(service: LinkService, _: Call, device: DeviceName) -> WifiNetworks:
    """The networks that the board knows, and how the trial of a new one ended."""
    board = service.registry.get(device)
    board.transport_for(WifiList.method)
    online = False
    found = calls.WifiNetworks(())
    with suppress(DeviceUnreachable, DeviceTimeout):
        online = True
        found = await board.call(WifiList(), _LIST_S, wait=False)
    return WifiNetworks(
        device=board.name,
        online=online,
        networks=[_shown(ssid) for ssid in found.networks],
        ssid=None if found.ssid is None else _shown(found.ssid),
        trial=None if found.trial is None else _trial(board, found.trial),
    )


@operation(
    "device.wifi-set",
    http="POST /v1/devices/{device}/wifi",
    permission=Permission.RISKY,
    access=Access.OWN,
    previews=True,
    steps=True,
    is_command=False,
)
async def set_wifi(
    service: LinkService,
    call: Call,
    device: DeviceName,
    ssid: Annotated[str, Meta(min_length=1, max_length=32)],
    password: Annotated[str | None, Meta(min_length=8, max_length=63)] = None,
    later: bool = False,
    forget: bool = False,
) -> WifiTrialFacts:
    """Another network: tried first, which is waited for, and given up when the host is not reached over it.

    `later`: only noted.

    `forget`: a network less; never the one that the board is in.
    """
    board = service.registry.get(device)
    shown = _shown(ssid)
    board.transport_for(WifiForget.method if forget else WifiSet.method)  # first: nobody is asked for what cannot be
    await call.approve(
        f"have {board.name} forget the Wi-Fi {shown}" if forget else f"give {board.name} the Wi-Fi {shown}", ()
    )
    if forget:
        await board.call(WifiForget(ssid), wait=False)
        trial = WifiTrial(ssid, "forgotten")
    else:
        trial = await board.call(WifiSet(ssid, password, later), wait=False)
    if forget:
        note = f"Wi-Fi {shown} forgotten"
    else:
        note = f"Wi-Fi {shown}"
    service.gate.note(AuditKind.DEVICE_CHANGED, note, call.person_id, about=board.name)
    if trial.state == "trying":
        call.report(Step("try", f"{board.name} tries {shown}, for {trial.seconds or 0} s at most", "running"))
        trial = await _ended(board, trial)
    return _trial(board, trial)


async def _ended(board: Device, began: WifiTrial) -> WifiTrial:
    """The outcome of the trial, once the board is back and says so."""
    try:
        async with asyncio.timeout((began.seconds or 0) + _BACK_S):
            while True:
                await asyncio.sleep(_POLL_S)  # the board says nothing by itself
                with suppress(DeviceUnreachable, DeviceTimeout):
                    trial = (await board.call(WifiList(), _LIST_S, wait=False)).trial
                    if trial is not None and trial.ssid == began.ssid and trial.state != "trying":
                        return trial
    except TimeoutError as exc:
        raise DeviceTimeout(
            f"{board.name} tries {_shown(began.ssid)} and has not come back yet",
            next_step="is its former Wi-Fi still there? Else its own access point after two minutes, or: "
            "microclaw flash --wifi SSID, with a cable",
        ) from exc


def _trial(device: Device, trial: WifiTrial) -> WifiTrialFacts:
    if trial.why is None:
        why = None
    else:
        why = clean_text(trial.why, one_line=True, limit=200)
    return WifiTrialFacts(
        device=device.name, ssid=_shown(trial.ssid), state=trial.state, why=why, seconds=trial.seconds
    )


def _shown(ssid: str) -> str:
    """A name that the board, or whoever is near it, chose."""
    return clean_text(ssid, one_line=True, limit=32)
