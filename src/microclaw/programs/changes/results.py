"""The results of acts on programs: programs as they are listed, changes, what an act made, or that it waits.

It fetches nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeAlias, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType, convert, structs

from microclaw.clock import now_ms
from microclaw.devices.registry import calls
from microclaw.devices.transports.pin_calls import PIN_PROGRAM
from microclaw.events import ProgramKind
from microclaw.host.operations.result import Listing, Result, filled
from microclaw.programs.run_times import RunTimes, how_text, kept_text
from microclaw.text import moment_text, program_name
from microclaw.wire.host_api import EvidenceObject

if TYPE_CHECKING:
    from microclaw.programs.changes.catalogue import AppListing
    from microclaw.programs.changes.deferring import DeferredAct, DeferredChange
    from microclaw.programs.changes.deployment import ChangeResult

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
        """None of a program that simply runs on."""
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
        """With what the board tells now of its runs, which tells how long ago, or in how long."""
        found = on_board or calls.AppRuns(0, 0, 0, 0)
        at_ms = now_ms()
        return cls.of(
            times,
            next_ms=None if found.next_in_ms is None else at_ms + found.next_in_ms,
            running_since_ms=None if found.running_ms is None else at_ms - found.running_ms,
            last_ms=None if found.last_ago_ms is None else at_ms - found.last_ago_ms,
            last_took_ms=found.last_took_ms,
            last_how=found.last_how,
            runs=found.runs,
            missed=found.missed,
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


class AppFacts(Result, frozen=True, kw_only=True):
    """A program on a device. `foreign`: this host did not install it; `runs` null: it simply runs on."""

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

    @property
    def is_foreign(self) -> bool:
        return self.foreign

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
        if self.error:
            return self.error
        if self.deferred is not None:
            return f"{self.deferred.act} since {moment_text(self.deferred.since_ms)}, done when {self.device} is back"
        if self.runs is not None:
            return str(self.runs)
        if self.name == PIN_PROGRAM:
            return "microclaw's: holds what exec set"
        return "not installed by this host" if self.foreign else ""


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
    """The change that put it there, and the unified diff of the sources from it to now; empty where they are the same,
    or one is not kept."""

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
    host changed nothing of it. `crashes`: the newest first.
    """

    source: str | None
    proof: dict[str, Any] | None
    before: FormerVersion | None
    change: NewestChange | None
    crashes: list[ProgramCrash]

    @property
    def is_foreign(self) -> bool:
        # Who wrote the source is asked where a model reads it (programs/changes/authors.py).
        return True

    def lines(self) -> list[str]:
        names = ("name", "device", "condition", "error", "heap_bytes", "size_bytes", "sha256")
        shown = {name: getattr(self, name) for name in names} | {"pins": self.pins_text}
        if self.origin is not None:
            shown["entry"] = f"{self.origin.entry} {self.origin.version}, from {self.origin.catalog}"
        if self.runs is not None:
            shown |= {"runs": self.runs, "": self.runs.text}
        if self.proof is not None:
            shown["proof"] = self.proof["proof"]
        found = [f"{name:<12} {value}" for name, value in shown.items() if value is not None]
        if self.source:
            return [*found, "", self.source]
        return found


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
        head = f"{self.name} for {self.device}, {moment_text(self.at_ms)}: {self.problem}"
        if self.expect:
            expected = ["", "expectations:", self.expect]
        else:
            expected = []
        return [head, *expected, "", self.source]


class ChangeFacts(Struct, frozen=True, kw_only=True):
    """A change of a device; `undoes` and `undone_by` are numbers of others. `undoable`: it can be reverted now."""

    change_id: int
    at_ms: int
    device: str
    kind: str
    summary: str
    state: Literal["planned", "done", "failed", "unknown"]
    undoes: int | None
    undone_by: int | None
    undoable: bool
    turn: str | None
    person: str | None

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
    document: ClassVar = "changes"
    columns: ClassVar = {"NUMBER": "number", "DEVICE": "device", "STATE": "state", "WHAT": "summary", "UNDO": "undo"}
    empty: ClassVar = "nothing was changed yet"

    changes: list[ChangeFacts]


class AppAct(Result, frozen=True, kw_only=True):
    """An act on a program: its `evidence`, and the change; or that it is `deferred` until the device is back,
    and `why`; `text` says that.

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


A = TypeVar("A", bound=AppAct)


class Switched(AppAct, frozen=True, kw_only=True):
    document: ClassVar = "switched"
    documents: ClassVar = "switched"


class Removed(AppAct, frozen=True, kw_only=True):
    document: ClassVar = "removal"
    facts: ClassVar = ("change_id", "undoable")


class Deployed(AppAct, frozen=True, kw_only=True):
    """A program that was installed. `trial` is what the trial showed, `expected` what became of each expectation, and
    `proof` what all of that proves."""

    document: ClassVar = "deployment"

    size_bytes: int | UnsetType = UNSET
    compile_ms: float | UnsetType = UNSET
    cached: bool | UnsetType = UNSET
    trial: dict[str, Any] | UnsetType | None = UNSET
    replaced: bool | UnsetType = UNSET
    times: Times | UnsetType | None = UNSET
    proof: str | UnsetType = UNSET
    expected: list[dict[str, Any]] | UnsetType = UNSET

    @property
    def told(self) -> str:
        if isinstance(self.times, Times):
            times = f"; {self.times.text}"
        else:
            times = ""
        verified = "not verified: " if self.verified is False else ""
        return f"{verified}{super().told}{times}"

    def lines(self) -> Iterable[tuple[str, str]]:
        yield "proof", f"{self.proof}{'' if self.expected else ' (--expect FILE)'}"
        if self.verified is False:
            yield "next", f"microclaw logs {self.device}: {self.told}"


def listing_view(listings: Iterable[AppListing]) -> InstalledApps:
    return InstalledApps(apps=[filled(AppFacts, listing) for listing in listings])


def removal_view(result: ChangeResult | DeferredChange) -> Removed:
    return _act_view(Removed, result)


def switch_view(result: ChangeResult | DeferredChange) -> Switched:
    return _act_view(Switched, result)


def deployment_view(result: ChangeResult | DeferredChange) -> Deployed:
    """Return the view of an installation."""
    from microclaw.programs.changes.deployment import Deployment  # only where programs are installed
    from microclaw.programs.proof.expectation_result import proof_of

    if not isinstance(result, Deployment):
        return _act_view(Deployed, result)
    trial = result.trial
    return _act_view(
        Deployed,
        result,
        size_bytes=result.image.size_bytes,
        compile_ms=round(result.image.compile_ms, 1),
        cached=result.image.cached,
        trial=trial.to_json(),
        replaced=result.replaced,
        times=Times.of(trial.times),
        proof=proof_of(result.expected, trial.untried) if trial.ok else trial.proof,
        expected=[line.to_json() for line in result.expected],
    )


def _act_view(kind: type[A], result: ChangeResult | DeferredChange, **more: Any) -> A:
    from microclaw.programs.changes.deferring import DeferredChange  # only where programs are installed

    if isinstance(result, DeferredChange):
        return _deferred_view(kind, result)
    facts = {name: getattr(result, name) for name in kind.facts}
    evidence = convert(result.evidence, EvidenceObject, from_attributes=True)
    return kind(device=result.device_name, name=result.name, evidence=evidence, **facts, **more)


def _deferred_view(kind: type[A], change: DeferredChange) -> A:
    act = change.act
    device = change.device_name
    version = act.order.version
    times = ""
    if version is not None and version.times is not None:
        times = f". {kept_text(version.times)}"
    more: dict[str, Any] = {}
    if change.trial is not None:
        more = {"trial": change.trial.to_json()}
    return kind(
        device=device,
        name=act.name,
        deferred=DeferredFacts.of(act),
        why=change.why,
        sha256=None if version is None else version.sha256,
        text=f"deferred: {act.text(device)}. It is done when {device} answers again, and told then{times}",
        **more,
    )


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
