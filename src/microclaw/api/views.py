"""The host's values as JSON objects for its HTTP answers. It fetches nothing."""

from __future__ import annotations

import dataclasses
from typing import Any

from microclaw.api.answers import AppFacts, AppOrigin, ChangeFacts, filled
from microclaw.apps.catalogue import AppListing
from microclaw.apps.changes import AppVersion, Change
from microclaw.apps.deferred import DeferredAct
from microclaw.apps.deferring import Deferral
from microclaw.apps.deploy import Deployment, Removal
from microclaw.apps.expectation_result import proof_of
from microclaw.apps.explorer import Exploration
from microclaw.apps.lifecycle import Switched
from microclaw.apps.run_times import RunReport, RunTimes, keeper_text, kept_by
from microclaw.apps.undo import UndoReport
from microclaw.apps.upgrade import UnchangedTimes, Upgraded
from microclaw.events import ProgramKind
from microclaw.wire.host_api import evidence_object


def exploration_object(found: Exploration) -> dict[str, Any]:
    return {
        "device": found.device_name,
        "natives": sorted(found.findings.natives),
        "lacking_natives": sorted(found.findings.lacking_natives),
        "nodes": sorted(found.findings.nodes),
        "lacking_nodes": sorted(found.findings.lacking_nodes),
        "unknown": list(found.unknown),
        "firmware": list(found.words),
    }


def app_object(listing: AppListing) -> dict[str, Any]:
    origin = listing.version.origin if listing.version is not None else None
    return filled(
        AppFacts,
        listing,
        device=listing.device_name,
        pins=list(listing.pins),
        kind=listing.version.kind if listing.version is not None else None,
        origin=None if origin is None else filled(AppOrigin, origin, params=dict(origin.params)),
        deferred=None if listing.deferred is None else deferred_act_object(listing.deferred),
        runs=runs_object(listing.version, listing.runs),
    )


def runs_object(version: AppVersion | None, runs: RunReport | None) -> dict[str, Any] | None:
    """When it runs and how that went, in Unix ms; None of one that simply runs on."""
    if version is None or version.times is None:
        return None
    return {**times_object(version.times, version.kind), **dataclasses.asdict(runs or RunReport())}


def times_object(times: RunTimes, kind: ProgramKind) -> dict[str, Any]:
    return {
        "every_ms": times.every_ms,
        "stop_after_ms": times.stop_after_ms,
        "kept_by": kept_by(kind),
        "text": keeper_text(times, kind),
    }


def deferred_act_object(act: DeferredAct) -> dict[str, Any]:
    return {"act": act.order.act, "since_ms": act.at_ms, "person": act.person_id}


def deferral_object(made: Deferral) -> dict[str, Any]:
    """An act that waits for its device; `trial` is None where nothing is installed."""
    act = made.act
    version = act.order.version
    return {
        "device": made.device_name,
        "name": act.name,
        "deferred": deferred_act_object(act),
        "why": made.why,
        "replaces": made.replaces,
        "sha256": None if version is None else version.sha256,
        "trial": None if made.trial is None else made.trial.to_json(),
        "text": f"deferred: {act.text(made.device_name)}. It is done when {made.device_name} answers again, "
        "and told then" + ("" if version is None or version.times is None else f". {_later_times(version)}"),
    }


def _later_times(version: AppVersion) -> str:
    assert version.times is not None
    return keeper_text(version.times, version.kind)


def change_object(change: Change, device_name: str) -> dict[str, Any]:
    return filled(ChangeFacts, change, device=device_name)


def deployment_object(made: Deployment) -> dict[str, Any]:
    return {
        "device": made.device_name,
        "name": made.name,
        "size_bytes": made.image.size_bytes,
        "sha256": made.image.sha256,
        "compile_ms": round(made.image.compile_ms, 1),
        "cached": made.image.cached,
        "trial": made.trial.to_json(),
        "evidence": evidence_object(made.evidence),
        "verified": made.verified,
        "replaced": made.replaced,
        "change_id": made.change_id,
        "times": None if made.trial.times is None else times_object(made.trial.times, made.image.kind),
        "proof": proof_of(made.expected) if made.trial.ok else made.trial.proof,
        "expected": [result.to_json() for result in made.expected],
    }


def times_set_object(made: Deployment | UnchangedTimes) -> dict[str, Any]:
    """The deployment; where the times were the same, `unchanged` and the `text` that says so."""
    if not isinstance(made, UnchangedTimes):
        return deployment_object(made)
    times = None if made.times is None else times_object(made.times, made.kind)
    return {"device": made.device_name, "name": made.name, "unchanged": True, "times": times, "text": made.text}


def upgraded_object(made: Upgraded) -> dict[str, Any]:
    former = {"sha256": made.former.sha256, "size_bytes": made.former_bytes, "since_ms": made.since_ms}
    return {**deployment_object(made.deployment), "former": former, "text": made.text}


def removal_object(made: Removal) -> dict[str, Any]:
    return {
        "device": made.device_name,
        "name": made.name,
        "evidence": evidence_object(made.evidence),
        "undoable": made.undoable,
        "change_id": made.change_id,
    }


def switched_object(made: Switched) -> dict[str, Any]:
    return {
        "device": made.device_name,
        "name": made.name,
        "evidence": evidence_object(made.evidence),
        "verified": made.verified,
        "sha256": made.sha256,
        "change_id": made.change_id,
    }


def undone_object(made: UndoReport) -> dict[str, Any]:
    """`undone`, `by` and `evidence` are of the newest change; `taken` has all of them, newest first."""
    taken = [
        {"undone": one.undone.change_id, "by": one.by.change_id, "evidence": evidence_object(one.evidence)}
        for one in made.taken
    ]
    return {"text": made.text, **taken[0], "taken": taken}
