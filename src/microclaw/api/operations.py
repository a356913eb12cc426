"""The acts of the host itself: how it is, and with which hosts it shares a database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct

from microclaw.link_server.device_facts import PendingPairing
from microclaw.operations.operation import Access, Call, operation
from microclaw.operations.result import Result
from microclaw.text import moment_text

if TYPE_CHECKING:
    from microclaw.api.status import StatusReader


class StatusRow(Struct, frozen=True):
    """A line of the screen: what it is about, and the text."""

    about: str
    text: str


class HttpsFacts(Struct, frozen=True):
    urls: tuple[str, ...] = ()
    local: str | None = None
    ca_sha256: str | None = None


class LinkStatus(Struct, frozen=True, kw_only=True):
    address: str
    connected: list[str]
    waiting: list[PendingPairing]

    @property
    def text(self) -> str:
        if self.waiting:
            waiting = f", {len(self.waiting)} waiting to be paired"
        else:
            waiting = ""
        return f"{self.address}   {', '.join(self.connected) or 'no device connected'}{waiting}"


class ModelOutage(Struct, frozen=True, kw_only=True, rename={"next_step": "next"}):
    """A model that is out. `instead` answered last, if any did."""

    model: str
    fault: str
    reason: str
    next_step: str | None
    instead: str | None
    retry_in_s: float


class AlarmFacts(Struct, frozen=True, rename={"next_step": "next"}):
    """Something that a person should look at, and what to do about it."""

    kind: str
    device: str
    at_ms: int
    text: str
    next_step: str | None


class DeferredStatus(Struct, frozen=True):
    """An act that waits for its device, or how one of the last day came out."""

    text: str
    state: str
    at_ms: int
    outcome: str | None

    @property
    def line(self) -> str:
        at = moment_text(self.at_ms)
        if self.state == "waiting":
            return f"{self.text}, when it is back (since {at})"
        return f"{self.text}: {self.state} {at}: {self.outcome}"


class DeviceStatus(Struct, frozen=True, kw_only=True):
    """`reachable` None: it was not used yet. `process`: of a virtual board that was started again, or failed."""

    name: str
    board: str
    transports: tuple[str, ...]
    apps: list[str]
    reachable: bool | None
    never_reached: bool
    problem: str | None
    process: str | None

    @property
    def text(self) -> str:
        if self.never_reached:
            away = "never reached"
        elif self.reachable is False:
            away = "does not answer"
        else:
            away = ""
        text = f"{self.name} ({self.board}): {', '.join(self.apps) or 'no programs'}{away and f', {away}'}"
        if self.problem and not away:
            problem = f"problem: {self.problem}"
        else:
            problem = None
        return "   ".join(filter(None, (text, self.process, problem)))


class Status(Result, frozen=True, kw_only=True):
    """The fields from `pid` on are null for who is no owner: they are about this machine and other people's chats.

    `host`: its name in its cluster; `failing`: its background tasks that fail now, and why. `screen` has it as a person
    reads it, and more, but for the devices.
    """

    document: ClassVar = "status"

    version: str
    host: str | None
    http: str | None
    https: HttpsFacts
    link: LinkStatus | None
    xiaozhi: dict[str, Any]
    wyoming: dict[str, Any]
    up_s: float
    rss_mb: float
    model: str
    model_hint: str | None
    deferred: list[DeferredStatus]
    devices: list[DeviceStatus]
    screen: Sequence[StatusRow] = ()
    pid: int | None = None
    home: str | None = None
    problems: list[str] | None = None
    alarms: list[AlarmFacts] | None = None
    gateway_open: bool | None = None
    failing: list[str] | None = None
    mqtt: dict[str, Any] | None = None
    model_outages: list[ModelOutage] | None = None

    @property
    def is_foreign(self) -> bool:
        is_pairing = self.link is not None and bool(self.link.waiting)
        return is_pairing or any(device.problem for device in self.devices)

    def lines(self) -> Iterable[tuple[str, str]]:
        yield from ((row.about, row.text) for row in self.screen)
        texts = [one.text for one in self.devices] or ["none: microclaw device add NAME --wasmachine HOST:PORT"]
        yield from (("device", text) for text in texts)


@operation("host.status", http="GET /v1/status", access=Access.LOOK, is_command=False)
async def read_status(reader: StatusReader, call: Call) -> Status:
    """Model, devices, programs."""
    return await reader.read(call.person_id)
