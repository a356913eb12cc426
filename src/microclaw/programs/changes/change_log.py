"""Changes to devices: each has an action, the action that takes it back, and a state. Touches no device.

The change log keeps them in the store: written before the action, closed after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import ClassVar, Final, Literal, TypeAlias

from msgspec import Struct, field
from msgspec.structs import asdict, replace

from microclaw.clock import now_ms
from microclaw.devices.registry.calls import GpioSet, PwmSet
from microclaw.errors import (
    DeviceLied,
    DeviceTimeout,
    DeviceUnreachable,
    InstallInterrupted,
    MicroclawError,
    ProtocolError,
    after_acceptance,
)
from microclaw.events import ProgramKind
from microclaw.hardware.parts.wiring import Wiring
from microclaw.host.audit.event import AuditEvent, AuditKind
from microclaw.host.auth.people import OWNER
from microclaw.host.cluster.live_hosts import ALONE, Fleet, dead_among
from microclaw.host.store.apps import MAX_NUMBER, AppTable, ChangeRow, ChangeState, ImageRow
from microclaw.host.store.database import Database
from microclaw.host.store.journal import Work
from microclaw.network_use import NO_NETWORK, NetworkUse
from microclaw.programs.building import ProgramImage, stored_facts
from microclaw.programs.run_times import RunTimes

ExtraWrites: TypeAlias = Callable[[], AbstractContextManager[Sequence[Work]]]
"""What is to be written before the next change begins, in its transaction, which is committed inside."""


class ChangeOrigin(Struct, frozen=True):
    """`turn`: the id of the turn or request that is under way; None outside of one. `person_id` is whose it is.

    `conversation` is what it is a part of, `deferred` the number of the deferred act that is done. `ahead` goes into
    the transaction of a plan. `is_tainted`: its words may be those of others.
    """

    turn: str | None = None
    person_id: str | None = None
    conversation: str | None = None
    deferred: int | None = None
    ahead: ExtraWrites = lambda: nullcontext(())
    is_tainted: bool = False


_NOBODY = ChangeOrigin()
_ORIGIN: ContextVar[ChangeOrigin] = ContextVar("change_origin", default=_NOBODY)
COMMAND_LINE: Final = "terminal"
"""The conversation of the commands of this machine's command line. Its chats have their own."""
SCHEDULED: Final = "schedule:"
"""Stands before the conversation of a change that a schedule made."""


def current_origin() -> ChangeOrigin:
    """Return the origin of a change that is planned here now."""
    return _ORIGIN.get()


def chat_of(conversation: str) -> str:
    """Return the conversation, also of what a schedule does there."""
    return conversation.removeprefix(SCHEDULED)


def conversation_of(channel: str, chat_id: str) -> str:
    """Return the conversation of a chat: the same chat as that of its history."""
    return f"{channel}:{chat_id}"


@contextmanager
def change_origin(origin: ChangeOrigin) -> Iterator[None]:
    """Give the changes planned inside this block, and in tasks started inside it, this origin."""
    before = _ORIGIN.set(origin)
    try:
        yield
    finally:
        _ORIGIN.reset(before)


ChangeKind: TypeAlias = Literal[
    "app.deploy",
    "app.upgrade",
    "app.remove",
    "app.stop",
    "app.start",
    "app.restart",
    "app.restore",
    "gpio.set",
    "pwm.set",
]


class _Stored(Struct, frozen=True, forbid_unknown_fields=True, tag_field="do"):
    """An action. Its fields and tag are its JSON in the store."""


class Claims(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The claims of a program beside the pins it drives (programs/changes/claims.py has the rules).

    `uses`: pins of a bus, and pins that its source names and its trial did not reach. `nodes` are buses and PWM timers
    as "i2c/0". `ended`: its trial ended. `forced`: its trial failed, and a person had it installed all the same.
    `own_source`: nobody else than its person and the agent wrote its source. `own_words`: and all that it can print
    stands there (programs/changes/authors.py). `network`: the hosts and ports that were allowed to it; `named_hosts`
    are those of them that its owner named beside the source. `autostart`: it begins again when its board restarts.
    """

    reads: tuple[int, ...] = ()
    uses: tuple[int, ...] = ()
    nodes: tuple[str, ...] = ()
    ended: bool = False
    forced: bool = False
    own_source: bool = False
    own_words: bool = False
    network: NetworkUse = NO_NETWORK
    named_hosts: tuple[str, ...] = ()
    autostart: bool = True


class Origin(Struct, frozen=True, forbid_unknown_fields=True):
    """The entry of a catalogue (programs/patterns/catalog.py) that a program is, and the values that were put in.

    `catalog` is its folder as the person's command named it, or "shipped". The host believes it of who installs.
    """

    entry: str
    version: str
    catalog: str
    params: tuple[tuple[str, int | str], ...] = ()


class AppVersion(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One version of a program: its image's hash and kind, install options, the pins it drives, other claims.

    `origin`: the entry of a catalogue that it is. `times`: when it runs, where it does not simply run on. `wiring`: the
    parts that the wiring file beside its source has; its trials are with them.
    """

    sha256: str
    heap_bytes: int
    timers: int
    watchdog_ms: int
    pins: tuple[int, ...]
    claims: Claims = Claims()
    kind: ProgramKind = "wasm"
    origin: Origin | None = None
    times: RunTimes | None = None
    wiring: Wiring | None = None


class PutApp(_Stored, frozen=True, tag="app.put"):
    """Install this version under `name`, whatever was there before."""

    act: ClassVar[Literal["install"]] = "install"
    name: str
    version: AppVersion


class RemoveApp(_Stored, frozen=True, tag="app.remove"):
    act: ClassVar[Literal["uninstall"]] = "uninstall"
    version: ClassVar = None
    name: str


class StopApp(_Stored, frozen=True, tag="app.stop"):
    """Off the device, and this version is kept for a start."""

    act: ClassVar[Literal["stop"]] = "stop"
    name: str
    version: AppVersion


class StartApp(_Stored, frozen=True, tag="app.start"):
    """Install the kept version again, without a build."""

    act: ClassVar[Literal["start"]] = "start"
    name: str
    version: AppVersion


class SetLevel(GpioSet, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="gpio.set"):
    """The call itself, as it is stored."""


class SwitchOff(SetLevel, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="gpio.off"):
    """The level at which the wired part is off: nothing had set its pin before."""


class SetPwm(PwmSet, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="pwm.set"):
    """The call itself, as it is stored."""


DeviceAction: TypeAlias = PutApp | RemoveApp | StopApp | StartApp | SetLevel | SwitchOff | SetPwm


class Change(ChangeRow, frozen=True):
    """One entry of the change log. `inverse` is None when it is not known what would take the change back.

    With the kind app.restore the host redeploys an app that a board lost, app.restart starts one again; undo leaves
    both alone. `undoes` is the change that this one reverted, `undone_by` the change that took this one back. `turn` is
    the turn or request that made it; None when it belongs to none. `by` is the id of who asked for it, None: the host
    itself. `conversation` is the chat or session that it was made in, None outside of one. `host` made it, in a
    cluster.
    """

    kind: ChangeKind
    forward: DeviceAction
    inverse: DeviceAction | None
    state: ChangeState = "planned"
    undone_by: int | None = None
    turn: str | None = None
    by: str | None = field(default=None, name="person")
    conversation: str | None = None
    host: str | None = None

    @property
    def person(self) -> str:
        """The id of who may undo it as their own."""
        return self.by or OWNER.person_id

    @property
    def subject(self) -> str:
        """The app or pin of a device that it changes. Two changes of one subject must be undone in order."""
        action = self.forward
        if isinstance(action, SetLevel | SetPwm):
            part = f"pin {action.pin}"
        else:
            part = f"app {action.name}"
        return f"{self.device_id} {part}"


MAX_UNFINISHED = 1_000
MAX_SILENCES = 2  # then it is not redeployed any more


class DesiredApp(Struct, frozen=True):
    """An app that this host wants on a device, or keeps stopped for it, and since when: its version by its fields.

    `suspect_ms`: since when the device is silent, probably because of it; None when it is not. `silences` counts how
    often it was. `stopped_ms` is when it was stopped: it is off the device and only kept. `waits`: what puts it there
    is deferred until the device is back.
    """

    beside: ClassVar = frozenset({"waits"})  # no columns

    device_id: str
    name: str
    sha256: str
    heap_bytes: int
    timers: int
    watchdog_ms: int
    pins: tuple[int, ...]
    since_ms: int
    claims: Claims = field(default=Claims())
    suspect_ms: int | None = None
    kind: ProgramKind = "wasm"
    stopped_ms: int | None = None
    origin: Origin | None = None
    times: RunTimes | None = None
    wiring: Wiring | None = None
    silences: int = 0
    waits: bool = False

    @property
    def version(self) -> AppVersion:
        fields = {name: getattr(self, name) for name in AppVersion.__struct_fields__}
        return AppVersion(**fields)


OnEnd: TypeAlias = Callable[[Change, ChangeState, str | None], None]
"""Gets a change, how it ended, and the id of who asked for it (None: the host itself)."""


def no_answer_tells(error: MicroclawError) -> bool:
    """Return True if the device may have done it although no answer came."""
    if isinstance(error, InstallInterrupted):
        return error.outcome != "not_installed"
    return isinstance(error, DeviceTimeout | DeviceUnreachable)


class ChangeLog(AppTable[Change, DesiredApp]):
    """The changes in the store."""

    _change = Change
    _desired = DesiredApp

    def __init__(
        self,
        database: Database,
        *,
        now_ms: Callable[[], int] = now_ms,
        fleet: Fleet = ALONE,
    ) -> None:
        super().__init__(database, now_ms)
        self._fleet = fleet
        self._listeners: list[OnEnd] = []
        self.news = asyncio.Event()  # set with each change that was done, here or at another host
        self.follow(self._wake)

    def report_to(self, on_end: OnEnd) -> None:
        """Call it with every change that ends here from now on."""
        self._listeners.append(on_end)

    async def _wake(self) -> None:
        self.news.set()

    async def keep_image(self, image: ProgramImage) -> None:
        facts = stored_facts(image)
        await self.put_image(ImageRow(image.sha256, image.code, image.source, facts, self._now_ms()))

    async def plan(
        self,
        device_id: str,
        kind: ChangeKind,
        summary: str,
        forward: DeviceAction,
        inverse: DeviceAction | None,
        *,
        undoes: int | None = None,
        seen: int | None = None,
    ) -> int:
        """Write the change down before the action. Returns its number. Raises as AppTable.add_change."""
        origin = _ORIGIN.get()
        change = Change(0, self._now_ms(), device_id, kind, summary, undoes, forward, inverse)
        change = replace(change, turn=origin.turn, by=origin.person_id, conversation=origin.conversation)
        with origin.ahead() as first:
            return await self.add_change(change, origin.deferred, is_live=self._fleet.is_live, seen=seen, first=first)

    async def end(self, change_id: int, state: Literal["done", "failed", "unknown"]) -> None:
        """Close it: the device did it; did not, or it was reverted at once; or nobody knows, and `unfinished` lists it.

        One write closes the change. Done, it also updates the desired apps and marks what it undoes.
        If the store fails the change stays open, and the reconciler asks the device. Raises OutcomeUnknown then, but
        StoreError for a change that the device refused.
        """
        if state == "failed":
            change = await self._settle(change_id, state)
        else:
            with after_acceptance(f"change {change_id} goes on"):
                change = await self._settle(change_id, state)
        if state == "done":
            self.news.set()
        for on_end in self._listeners:
            on_end(change, state, change.by)

    async def _settle(self, change_id: int, state: Literal["done", "failed", "unknown"]) -> Change:
        """Write the end of the change; return the change as it was before."""
        change = await self.change(change_id)
        forward = change.forward
        put = None
        without = None
        if state == "done" and isinstance(forward, RemoveApp):
            without = (change.device_id, forward.name)
        elif state == "done" and isinstance(forward, PutApp | StartApp | StopApp) and change.kind != "app.restore":
            put = self._desired_by(change.device_id, forward)
        await self.settle_change(change_id, state, put=put, without=without)
        return change

    def _desired_by(self, device_id: str, action: PutApp | StartApp | StopApp) -> DesiredApp:
        """Return what is desired once the action is done."""
        at_ms = self._now_ms()
        stopped_ms = at_ms if isinstance(action, StopApp) else None
        return DesiredApp(
            device_id=device_id,
            name=action.name,
            since_ms=at_ms,
            stopped_ms=stopped_ms,
            **asdict(action.version),
        )

    @asynccontextmanager
    async def closing(self, change_id: int) -> AsyncIterator[None]:
        """Close the change by how this block ends: done, failed, or left open when no answer tells."""
        try:
            yield
        except MicroclawError as exc:
            if isinstance(exc, DeviceLied | ProtocolError) or no_answer_tells(exc):
                await self.end(change_id, "unknown")
            else:
                await self.end(change_id, "failed")
            raise
        await self.end(change_id, "done")

    async def has_forced(self, device_id: str, name: str, version: AppVersion) -> bool:
        """Return True if the person who acts now installed the version there although its trial failed."""
        if not version.claims.forced:
            return False
        person_id = current_origin().person_id or OWNER.person_id
        for change in await self.changes(device_id, MAX_NUMBER, state="done", kind="app.%"):
            forward = change.forward
            if change.person == person_id and forward in (PutApp(name, version), StartApp(name, version)):
                return True
        return False

    async def unfinished(self, device_id: str | None = None) -> Sequence[Change]:
        """Return the changes that are planned or whose outcome is unknown, oldest first.

        Without those that another host of the cluster is making now. Who is not `holding` the device may get a change
        that this host is making.
        """
        planned = await self.changes(device_id, MAX_UNFINISHED, state="planned")
        unknown = await self.changes(device_id, MAX_UNFINISHED, state="unknown")
        hosts = {change.host for change in planned}
        left_by = {None, self._fleet.host_id, *dead_among(self._fleet, hosts)}
        unfinished = [change for change in planned if change.host in left_by]
        unfinished += unknown
        return sorted(unfinished, key=lambda change: change.change_id)

    def now_ms(self) -> int:
        """Unix time, by the clock that `Change.at_ms` uses."""
        return self._now_ms()


HASH_CHARS: Final = 12  # of a SHA-256: as `app list` shows it
_KINDS: Final[Mapping[ChangeKind, AuditKind]] = {
    "app.deploy": AuditKind.PROGRAM_INSTALLED,
    "app.upgrade": AuditKind.PROGRAM_INSTALLED,
    "app.remove": AuditKind.PROGRAM_REMOVED,
    "app.stop": AuditKind.PROGRAM_STOPPED,
    "app.start": AuditKind.PROGRAM_STARTED,
    "app.restart": AuditKind.PROGRAM_STARTED,
    "app.restore": AuditKind.PROGRAM_RESTORED,
    "gpio.set": AuditKind.CALL_ACTED,
    "pwm.set": AuditKind.CALL_ACTED,
}


def change_event(change: Change, state: ChangeState, device: str, by: str | None, approval: str | None) -> AuditEvent:
    """Return the security log's line: no source and no sentence.

    `device` and `by` are names; `by` None is the host itself.
    """
    if change.undoes is None:
        kind = _KINDS[change.kind]
    else:
        kind = AuditKind.CHANGE_UNDONE
    text = f"change {change.change_id}: {change.summary}"
    if isinstance(change.forward, PutApp | StartApp | StopApp):
        text += f" {change.forward.version.sha256[:HASH_CHARS]}"
    if change.undoes is not None:
        text += f", reverts change {change.undoes}"
    if state == "failed":
        text += ", failed"
    elif state != "done":
        text += ", and whether it was done is unknown"
    return AuditEvent(kind, text, about=device, by=by or "the host", approval=approval)
