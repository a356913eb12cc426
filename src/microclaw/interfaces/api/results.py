"""The host's status, as its clients get it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, cast

from msgspec import Struct, defstruct

from microclaw.devices.link.results import PairingSummary
from microclaw.host.builder.hooks import StatusField
from microclaw.host.operations.result import Result
from microclaw.text import moment_text


class StatusRow(Struct, frozen=True):
    """A line of the screen: its subject and its text."""

    about: str
    text: str


class HttpsFacts(Struct, frozen=True):
    urls: tuple[str, ...] = ()
    local: str | None = None
    ca_sha256: str | None = None


class LinkStatus(Struct, frozen=True, kw_only=True):
    address: str
    connected: list[str]
    waiting: list[PairingSummary]

    @property
    def text(self) -> str:
        devices = ", ".join(self.connected) or "no device connected"
        text = f"{self.address}   {devices}"
        if self.waiting:
            text += f", {len(self.waiting)} waiting to be paired"
        return text


class ModelOutage(Struct, frozen=True, kw_only=True, rename={"next_step": "next"}):
    """A model that does not answer. `instead` is the model that answered last, if any did."""

    model: str
    fault: str
    reason: str
    next_step: str | None
    instead: str | None
    retry_in_s: float


class AlarmFacts(Struct, frozen=True, rename={"next_step": "next"}):
    """An alarm for a person, and what to do about it."""

    kind: str
    device: str
    at_ms: int
    text: str
    next_step: str | None


class DeferredStatus(Struct, frozen=True):
    """An act that waits for its device, or the outcome of an act of the last day."""

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
    """A device. `reachable` None: it was not used yet. `process`: of a virtual board that was restarted, or failed."""

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
        away = ""
        if self.never_reached:
            away = "never reached"
        elif self.reachable is False:
            away = "does not answer"
        apps = ", ".join(self.apps) or "no program set to run"
        text = f"{self.name} ({self.board}): {apps}"
        if away:
            text += f", {away}"
        parts = [text]
        if self.process:
            parts.append(self.process)
        if self.problem and not away:
            parts.append(f"problem: {self.problem}")
        return "   ".join(parts)


class HostStatus(Result, frozen=True, kw_only=True):
    """The host's status; rooms add fields (`form_with`). Only owners get the fields from `pid` on, about this machine.

    `host`: its name in its cluster; `failing`: its background tasks that fail now, and why. `screen` has the lines that
    a person reads, and more, without the devices.
    """

    document: ClassVar = "status"

    version: str
    host: str | None
    http: str | None
    https: HttpsFacts
    link: LinkStatus | None
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
    failing: list[str] | None = None
    model_outages: list[ModelOutage] | None = None

    @classmethod
    def form_with(cls, fields: Iterable[StatusField]) -> type[HostStatus]:
        """Return the form of the status with the fields of rooms."""
        declared: list[Any] = []
        for added in fields:
            if added.for_owners:
                declared.append((added.name, added.form | None, None))
            else:
                declared.append((added.name, added.form))
        return cast("type[HostStatus]", defstruct("HostStatus", declared, bases=(cls,), frozen=True, kw_only=True))

    @property
    def is_foreign(self) -> bool:
        is_pairing = self.link is not None and bool(self.link.waiting)
        return is_pairing or any(device.problem for device in self.devices)

    def lines(self) -> Iterable[tuple[str, str]]:
        for row in self.screen:
            yield row.about, row.text
        for device in self.devices:
            yield "device", device.text
        if not self.devices:
            yield "device", "none: microclaw device add NAME --wasmachine HOST:PORT"
