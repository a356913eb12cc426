"""The results of acts on programs: programs as they are listed, changes, what an act made, or that it waits.

It fetches nothing; result_views.py makes some of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType, structs

from microclaw.clock import now_ms
from microclaw.devices.registry import calls
from microclaw.devices.transports.pin_calls import PIN_PROGRAM
from microclaw.events import ProgramKind
from microclaw.host.operations.result import Listing, Result
from microclaw.network_use import NO_NETWORK, NetworkUse
from microclaw.programs.run_times import RunTimes, how_text, kept_text
from microclaw.text import count_text, moment_text, program_name
from microclaw.wire.host_api import EvidenceObject

if TYPE_CHECKING:
    from microclaw.programs.changes.deferring import DeferredAct

AppCondition: TypeAlias = Literal[
    "running", "listed", "ended", "trapped", "dead", "missing", "unreachable", "stopped", "deferred", "waiting"
]
_Word: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,63}$")]
_Whole: TypeAlias = Annotated[int, Meta(gt=-(2**53), lt=2**53)]


class AppOrigin(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The entry of a catalogue that a program is, with the values that were put in; `catalog` is its folder."""

    entry: _Word
    version: Annotated[str, Meta(pattern=r"^\d{1,5}\.\d{1,5}\.\d{1,5}$")]
    catalog: Annotated[str, Meta(min_length=1, max_length=1024)]
    params: Annotated[dict[_Word, _Whole | _Word], Meta(max_length=64)] = {}


class DeferredFacts(Struct, frozen=True, kw_only=True):
    act: Literal["install", "upgrade", "uninstall", "stop", "start"]
    since_ms: int
    person: str

    @classmethod
    def of(cls, act: DeferredAct) -> Self:
        return cls(act=act.order.act, since_ms=act.at_ms, person=act.person_id)


class Times(Struct, frozen=True, kw_only=True):
    """The times at which its board begins and stops a program."""

    every_ms: int | None
    stop_after_ms: int | None
    text: str

    @classmethod
    def of(cls, times: RunTimes | None, **more: Any) -> Self | None:
        """Return None for a program that simply runs on."""
        if times is None:
            return None
        return cls(**structs.asdict(times), text=kept_text(times), **more)


class AppRunTimes(Times, frozen=True, kw_only=True):
    """With how that went; Unix times in ms."""

    next_ms: int | None
    running_since_ms: int | None
    last_ms: int | None
    last_took_ms: int | None
    last_how: str | None
    runs: int
    missed: int

    @classmethod
    def seen(cls, times: RunTimes | None, on_board: calls.AppRuns | None) -> Self | None:
        """Return the times with what the board reports now of its runs: how long ago, or in how long."""
        runs = on_board or calls.AppRuns(0, 0, 0, 0)
        at_ms = now_ms()
        return cls.of(
            times,
            next_ms=_moment(at_ms, runs.next_in_ms),
            running_since_ms=_moment(at_ms, runs.running_ms, sign=-1),
            last_ms=_moment(at_ms, runs.last_ago_ms, sign=-1),
            last_took_ms=runs.last_took_ms,
            last_how=runs.last_how,
            runs=runs.runs,
            missed=runs.missed,
        )

    def __str__(self) -> str:
        """ "every 10 min, stopped after 30 s; next at 2026-12-01 14:20:00; last run ..., ended by itself in 2 s"."""
        parts = [RunTimes(self.every_ms, self.stop_after_ms).text()]
        if self.running_since_ms is not None:
            parts.append(f"runs since {moment_text(self.running_since_ms)}")
        if self.next_ms is not None:
            parts.append(f"next at {moment_text(self.next_ms)}")
        if self.last_ms is not None:
            parts.append(f"last run {moment_text(self.last_ms)}, {how_text(self.last_how or '', self.last_took_ms)}")
        if self.missed:
            parts.append(f"{self.missed} times the run before still went on, and none was begun")
        return "; ".join(parts)


def _moment(at_ms: int, span_ms: int | None, *, sign: int = 1) -> int | None:
    if span_ms is None:
        return None
    return at_ms + sign * span_ms


class AppFacts(Result, frozen=True, kw_only=True):
    """A program on a device. `foreign`: this host did not install it; `runs` null: it simply runs on.

    `network`: the hosts that it may talk to, and the ports that it may open.

    `crash_count`: how often this version crashed there, 0 while it has no error; `error` is the last of them.
    """

    document: ClassVar = "app"

    name: str
    device: str
    condition: AppCondition
    foreign: bool
    heap_bytes: int
    pins: tuple[int, ...]
    size_bytes: int | None
    sha256: str | None
    error: str | None
    installed_ms: int | None
    kind: ProgramKind | None
    origin: AppOrigin | None
    deferred: DeferredFacts | None
    runs: AppRunTimes | None
    network: NetworkUse = NO_NETWORK
    crash_count: int = 0

    @property
    def is_foreign(self) -> bool:
        return self.foreign

    @property
    def history(self) -> str | None:
        """The last error, with how often this version crashed: a board starts a Python program again after each."""
        if self.error is None or not self.crash_count:
            return self.error
        return f"crashed {count_text(self.crash_count, 'time')}, last: {self.error}"

    @property
    def shown_name(self) -> str:
        return program_name(self.name)

    @property
    def pins_text(self) -> str:
        return ", ".join(map(str, self.pins)) or "-"

    @property
    def heap(self) -> str:
        return str(self.heap_bytes)

    @property
    def remark(self) -> str:
        if self.history:
            return self.history
        if self.deferred is not None:
            return f"{self.deferred.act} since {moment_text(self.deferred.since_ms)}, done when {self.device} is back"
        if self.runs is not None:
            return str(self.runs)
        if self.name == PIN_PROGRAM:
            return "microclaw's: holds what exec set"
        if self.foreign:
            return "not installed by this host"
        return ""


class InstalledApps(Listing, frozen=True, kw_only=True):
    document: ClassVar = "apps"
    columns: ClassVar = {
        "NAME": "shown_name",
        "DEVICE": "device",
        "STATE": "condition",
        "PINS": "pins_text",
        "HEAP": "heap",
        "NOTE": "remark",
    }
    empty: ClassVar = "no programs"
    row_device: ClassVar = "device"

    apps: list[AppFacts]

    @property
    def is_foreign(self) -> bool:
        return any(app.is_foreign for app in self.apps)


class FormerVersion(Struct, frozen=True, kw_only=True):
    """The change that put it there, and the unified diff of the sources from it to now.

    `diff` is empty if they are the same, or if one is not kept.
    """

    change_id: int
    at_ms: int
    sha256: str
    diff: list[str]


class NewestChange(Struct, frozen=True, kw_only=True):
    """The newest change of a program that is done; `person` is the id of who asked for it."""

    change_id: int
    at_ms: int
    summary: str
    person: str


class ProgramCrash(Struct, frozen=True, kw_only=True):
    """One kind of crash of a program; `version` is null if this host did not build what crashed."""

    crash_id: int
    version: str | None
    title: str
    count: int
    last_ms: int


class AppWithSource(AppFacts, frozen=True, kw_only=True):
    """`proof`: what was expected of it, and the edges of the trial and of the board, in ms since the installation.

    `before`: the version that was there before it, null if this host put no other one there. `change`: null if this
    host changed nothing of it. `crashes`: the newest first. `wiring`: the program's own wiring file, null if its trials
    are with the wiring of the device. `page`: the path of its page at this host, null if it serves none.
    """

    source: str | None
    wiring: str | None
    proof: dict[str, Any] | None
    before: FormerVersion | None
    change: NewestChange | None
    crashes: list[ProgramCrash]
    page: str | None

    @property
    def is_foreign(self) -> bool:
        # Who wrote the source is asked where a model reads it (programs/changes/authors.py).
        return True

    def lines(self) -> list[str]:
        names = ("name", "device", "condition", "error", "heap_bytes", "size_bytes", "sha256", "page")
        shown = {name: getattr(self, name) for name in names} | {"pins": self.pins_text}
        if self.network.text:
            shown["network"] = self.network.text
        if self.origin is not None:
            shown["entry"] = f"{self.origin.entry} {self.origin.version}, from {self.origin.catalog}"
        if self.runs is not None:
            shown |= {"runs": self.runs, "": self.runs.text}
        if self.proof is not None:
            shown["proof"] = self.proof["proof"]
        lines = []
        for name, value in shown.items():
            if value is not None:
                lines.append(f"{name:<12} {value}")
        if self.source:
            lines += ["", self.source]
        return lines


class AppDraft(Result, frozen=True, kw_only=True):
    """A program that an assistant wrote and that was not deployed: `problem` says why."""

    document: ClassVar = "draft"

    name: str
    device: str
    at_ms: int
    person: str
    problem: str
    expect: str | None
    source: str

    @property
    def is_foreign(self) -> bool:
        # Its turn may have copied into it what it had read.
        return True

    def lines(self) -> list[str]:
        lines = [f"{self.name} for {self.device}, {moment_text(self.at_ms)}: {self.problem}"]
        if self.expect:
            lines += ["", "expectations:", self.expect]
        return [*lines, "", self.source]


class ChangeFacts(Struct, frozen=True, kw_only=True):
    """A change of a device; `undoes` and `undone_by` are numbers of others. `undoable`: it can be reverted now.

    `did` says in plain words what it did, without the device; `local_time` is "2026-12-01 14:02" in the host's time
    zone; `by` is the name of the person with the id `person`, or "the host".
    """

    change_id: int
    at_ms: int
    local_time: str
    device: str
    kind: str
    summary: str
    did: str
    state: Literal["planned", "done", "failed", "unknown"]
    undoes: int | None
    undone_by: int | None
    undoable: bool
    turn: str | None
    person: str | None
    by: str

    @property
    def number(self) -> str:
        return str(self.change_id)

    @property
    def undo(self) -> str:
        if self.undone_by:
            return f"undone by {self.undone_by}"
        if self.undoes:
            return f"undoes {self.undoes}"
        return ""


class Changes(Listing, frozen=True, kw_only=True):
    """`today`: the date in the host's time zone."""

    document: ClassVar = "changes"
    columns: ClassVar = {"NUMBER": "number", "DEVICE": "device", "STATE": "state", "WHAT": "summary", "UNDO": "undo"}
    empty: ClassVar = "nothing was changed yet"

    today: str
    changes: list[ChangeFacts]


class AppAct(Result, frozen=True, kw_only=True):
    """An act on a program: its `evidence`, and the change.

    Or that it is `deferred` until the device is back, and `why`; `text` says that.

    `verified` is true only with counted or reported evidence, false if that contradicts the trial, and null if nobody
    has seen it work.
    """

    facts: ClassVar[tuple[str, ...]] = ("change_id", "verified", "sha256")  # that a ChangeResult gives

    device: str
    name: str
    evidence: EvidenceObject | UnsetType = UNSET
    verified: bool | UnsetType | None = UNSET
    sha256: str | UnsetType | None = UNSET
    change_id: int | UnsetType = UNSET
    undoable: bool | UnsetType = UNSET
    deferred: DeferredFacts | UnsetType = UNSET
    why: str | UnsetType = UNSET
    text: str | UnsetType = UNSET

    @property
    def exit_code(self) -> int:
        return int(self.verified is False)

    @property
    def instead(self) -> str | None:
        if self.deferred is UNSET:
            return None
        return f"{self.text}\ndrop it: microclaw app cancel {self.name} -d {self.device}"

    @property
    def told(self) -> str:
        if self.evidence is UNSET:
            return "deferred until it is back"
        assert isinstance(self.evidence, EvidenceObject)
        return self.evidence.text


class Switched(AppAct, frozen=True, kw_only=True):
    document: ClassVar = "switched"
    documents: ClassVar = "switched"


class Removed(AppAct, frozen=True, kw_only=True):
    document: ClassVar = "removal"
    facts: ClassVar = ("change_id", "undoable")


class Deployed(AppAct, frozen=True, kw_only=True):
    """A program that was installed.

    `trial`: the result of the trial; `expected`: the answer to each expectation; `proof`: all that this proves.
    `warning` names the schedules on its pins.
    """

    document: ClassVar = "deployment"

    size_bytes: int | UnsetType = UNSET
    compile_ms: float | UnsetType = UNSET
    cached: bool | UnsetType = UNSET
    trial: dict[str, Any] | UnsetType | None = UNSET
    replaced: bool | UnsetType = UNSET
    network: NetworkUse | UnsetType = UNSET
    times: Times | UnsetType | None = UNSET
    proof: str | UnsetType = UNSET
    expected: list[dict[str, Any]] | UnsetType = UNSET
    warning: str | UnsetType = UNSET

    @property
    def told(self) -> str:
        text = super().told
        if self.verified is False:
            text = f"not verified: {text}"
        if isinstance(self.times, Times):
            text += f"; {self.times.text}"
        return text

    def lines(self) -> Iterable[tuple[str, str]]:
        if self.expected:
            yield "proof", f"{self.proof}"
        else:
            yield "proof", f"{self.proof} (--expect FILE)"
        if self.verified is False:
            yield "next", f"microclaw logs {self.device}: {self.told}"
            yield "board", f"{self.name} stays on {self.device}: microclaw app uninstall {self.name} -d {self.device}"


class RevertedChange(Struct, frozen=True, kw_only=True):
    """The number of the change that was reverted, and of the one that did it."""

    undone: int
    by: int
    evidence: EvidenceObject


class Undone(Result, frozen=True, kw_only=True):
    """`taken` has the changes, newest first, at least one; `text` names all of them."""

    document: ClassVar = "undo"

    text: str
    taken: list[RevertedChange]


class DeferralCancelled(Result, frozen=True, kw_only=True):
    document: ClassVar = "cancelled"

    device: str
    name: str
    deferred: DeferredFacts
