"""Makes the results of acts on programs, as routes and commands show them, from what the acts return."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import UNSET

from microclaw.conversion import convert
from microclaw.host.operations.result import filled
from microclaw.programs.changes.results import (
    AppAct,
    AppFacts,
    DeferredFacts,
    Deployed,
    InstalledApps,
    Removed,
    Switched,
    Times,
)
from microclaw.programs.run_times import kept_text
from microclaw.wire.host_api import EvidenceObject

if TYPE_CHECKING:
    from microclaw.programs.changes.catalogue import AppListing
    from microclaw.programs.changes.deferring import DeferredChange
    from microclaw.programs.changes.deployment import ChangeResult

A = TypeVar("A", bound=AppAct)


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
    proof = trial.proof
    if trial.ok:
        proof = proof_of(result.expected, trial.untried)
    return _act_view(
        Deployed,
        result,
        size_bytes=result.image.size_bytes,
        compile_ms=round(result.image.compile_ms, 1),
        cached=result.image.cached,
        trial=trial.to_json(),
        replaced=result.replaced,
        network=result.image.network,
        times=Times.of(trial.times),
        proof=proof,
        expected=[line.to_json() for line in result.expected],
        warning=result.warning or UNSET,
    )


def _act_view(kind: type[A], result: ChangeResult | DeferredChange, **more: Any) -> A:
    from microclaw.programs.changes.deferring import DeferredChange  # only where programs are installed

    if isinstance(result, DeferredChange):
        return _deferred_view(kind, result)
    facts = {name: getattr(result, name) for name in kind.facts}
    evidence = convert(result.evidence, EvidenceObject, from_attributes=True)
    return kind(device=result.device_name, name=result.name, evidence=evidence, **facts, **more)


def _deferred_view(kind: type[A], change: DeferredChange) -> A:
    from microclaw.programs.changes.deferring import PUTS  # only where programs are installed

    act = change.act
    device = change.device_name
    version = act.order.version
    text = f"deferred: {act.text(device)}. It is done when {device} answers again, and told then"
    sha256 = None
    if version is not None:
        sha256 = version.sha256
        if version.times is not None and act.order.act in PUTS:
            text += f". {kept_text(version.times)}"
    more: dict[str, Any] = {}
    if change.trial is not None:
        more = {"trial": change.trial.to_json()}
    return kind(
        device=device,
        name=act.name,
        deferred=DeferredFacts.of(act),
        why=change.why,
        sha256=sha256,
        text=text,
        **more,
    )
