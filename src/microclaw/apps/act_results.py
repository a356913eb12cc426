"""The result of an act on programs, or that it waits. It fetches nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Self

from msgspec import UNSET, Struct, UnsetType, convert

from microclaw.apps.results import DeferredFacts, Times
from microclaw.apps.run_times import kept_text
from microclaw.operations.result import Result
from microclaw.wire.host_api import EvidenceObject

if TYPE_CHECKING:
    from microclaw.apps.deferring import Deferral
    from microclaw.apps.deployment import Made
    from microclaw.apps.undo import UndoReport


class AppAct(Result, frozen=True, kw_only=True):
    """An act on a program: its `evidence`, and the change; or that it is `deferred` until the device is back,
    and `why`; `text` says that.
    """

    facts: ClassVar[tuple[str, ...]] = ("change_id", "verified", "sha256")  # that a Made gives

    device: str
    name: str
    evidence: EvidenceObject | UnsetType = UNSET
    verified: bool | UnsetType = UNSET
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

    @classmethod
    def of(cls, made: Made, **more: Any) -> Self:
        facts: dict[str, Any] = {name: getattr(made, name) for name in cls.facts}
        evidence = convert(made.evidence, EvidenceObject, from_attributes=True)
        return cls(device=made.device_name, name=made.name, evidence=evidence, **facts | more)

    @classmethod
    def later(cls, made: Deferral) -> Self:
        act, version = made.act, made.act.order.version
        trial: dict[str, Any] = {} if made.trial is None else {"trial": made.trial.to_json()}
        times = "" if version is None or version.times is None else f". {kept_text(version.times)}"
        return cls(
            device=made.device_name,
            name=act.name,
            deferred=DeferredFacts.of(act),
            why=made.why,
            sha256=None if version is None else version.sha256,
            text=f"deferred: {act.text(made.device_name)}. It is done when {made.device_name} answers again, "
            f"and told then{times}",
            **trial,
        )


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
        times = f"; {self.times.text}" if isinstance(self.times, Times) else ""
        verified = "it runs, but was not verified: " if self.verified is False else ""
        return f"{verified}{super().told}{times}"

    def lines(self) -> Iterable[tuple[str, str]]:
        yield "proof", f"{self.proof}{'' if self.expected else ' (--expect FILE)'}"
        if self.verified is False:
            yield "next", f"microclaw logs {self.device}: {self.told}"

    @classmethod
    def of(cls, made: Made, **more: Any) -> Self:
        from microclaw.apps.deployment import Deployment  # only where programs are installed
        from microclaw.apps.expectation_result import proof_of

        assert isinstance(made, Deployment)
        return super().of(
            made,
            size_bytes=made.image.size_bytes,
            compile_ms=round(made.image.compile_ms, 1),
            cached=made.image.cached,
            trial=made.trial.to_json(),
            replaced=made.replaced,
            times=Times.of(made.trial.times),
            proof=proof_of(made.expected) if made.trial.ok else made.trial.proof,
            expected=[one.to_json() for one in made.expected],
            **more,
        )


class TakenBack(Struct, frozen=True, kw_only=True):
    """The number of the change that was reverted, and of the one that did it."""

    undone: int
    by: int
    evidence: EvidenceObject


class Undone(Result, frozen=True, kw_only=True):
    """`taken` has the changes, newest first."""

    document: ClassVar = "undo"

    text: str
    taken: list[TakenBack]

    @classmethod
    def of(cls, made: UndoReport) -> Self:
        each = [(one, convert(one.evidence, EvidenceObject, from_attributes=True)) for one in made.taken]
        taken = [TakenBack(undone=one.undone.change_id, by=one.by, evidence=evidence) for one, evidence in each]
        return cls(text=made.text, taken=taken)


class DeferralCancelled(Result, frozen=True, kw_only=True):
    document: ClassVar = "cancelled"

    device: str
    name: str
    deferred: DeferredFacts
