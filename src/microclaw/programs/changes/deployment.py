"""The request of a deployment, its form between its stages, and its result. The stages are changes.py's."""

from __future__ import annotations

import asyncio
import difflib
import json
import logging
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct, structs, to_builtins

from microclaw.devices.registry.device import Device
from microclaw.errors import StoreError
from microclaw.events import AskedProgram, Edge, Evidence
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.wiring import Wiring
from microclaw.host.operations.operation import Approve
from microclaw.host.store.apps import ProofRow
from microclaw.programs.building import ProgramImage, ProgramLanguage
from microclaw.programs.changes.change_log import AppVersion, ChangeLog, Origin
from microclaw.programs.changes.program_state import Act, ProgramState
from microclaw.programs.proof.expectation_result import ExpectationResult, proof_of
from microclaw.programs.proof.expectations import Expectations
from microclaw.programs.proof.last_states import last_states
from microclaw.programs.proof.trial import Trial
from microclaw.programs.run_times import RunTimes
from microclaw.text import code_lines, count_text
from microclaw.wire.wasmachine.request import DEFAULT_HEAP_BYTES, DEFAULT_TIMERS, DEFAULT_WATCHDOG_MS

_log = logging.getLogger(__name__)
INSTALLED_ALL_THE_SAME: Final = "it is installed all the same, as it was forced"


class Place(Struct, frozen=True, array_like=True):
    """The chat that gets the outcome of an act, and the conversation that the act was asked for in."""

    person_id: str
    channel: str
    chat_id: str
    conversation: str | None = None


class ChangeRequest(Struct, frozen=True):
    """An act on a program of a device. An installation and an upgrade have C, C++ or Python source, or wasm bytes.

    `version` is one whose image is stored: what an undo, or an act that was deferred, installs, starts or keeps.
    `device` is a device's name or id. `replace` allows the program to replace an app of the same name that this host
    did not install; an app of this host is upgraded without it. `force` installs a program whose trial failed, at the
    person's own risk: never one that drives a pin which the board forbids. `approve` is called after the trial, before
    anything changes, with a text that says what would happen; it raises when the answer is no. `only_verified`: what
    the board does not show as the trial did is taken off again. `origin`: the entry of a catalogue that it is. `times`:
    when it runs, where it does not simply run on. `begin` is called before anything on the device changes. `undoes`:
    the number of the change that it reverts. `based_on`: the running version that the act goes on from; if another one
    is there when it is done, the act is refused. `wiring`: the parts that the program's own wiring file has. `hosts`:
    those that its owner names beside its source. `autostart`: it begins again when its board restarts.
    """

    device: str
    name: str
    act: Act = "install"
    source: str | None = None
    language: ProgramLanguage | None = None  # None: the source says it
    wasm: bytes | None = None
    version: AppVersion | None = None
    heap_bytes: int = DEFAULT_HEAP_BYTES
    timers: int = DEFAULT_TIMERS
    watchdog_ms: int = DEFAULT_WATCHDOG_MS
    optimization: str = "O3"
    replace: bool = False
    try_for_ms: float = 10_000
    force: bool = False
    only_verified: bool = False
    expectations: Expectations | None = None
    origin: Origin | None = None
    times: RunTimes | None = None
    wiring: Wiring | None = None
    approve: Approve | None = None
    begin: Callable[[], None] = lambda: None
    undoes: int | None = None
    based_on: AppVersion | None = None
    hosts: tuple[str, ...] = ()
    autostart: bool = True


def with_terms(request: ChangeRequest, version: AppVersion) -> ChangeRequest:
    """Return the request with the terms of a version, and with its wiring and hosts if it has none of its own."""
    return structs.replace(
        request,
        heap_bytes=version.heap_bytes,
        timers=version.timers,
        watchdog_ms=version.watchdog_ms,
        times=version.times,
        wiring=request.wiring or version.wiring,
        hosts=request.hosts or version.claims.named_hosts,
        autostart=version.claims.autostart,
    )


class PreparedChange(Struct, frozen=True):
    """A program that was built, tried and approved, ready to be installed.

    `before` is the version of this host that the approval was for replacing, if any; `board` what it was checked for.
    """

    request: ChangeRequest
    device: Device
    image: ProgramImage
    trial: Trial
    version: AppVersion
    before: AppVersion | None
    board: BoardProfile


class ChangeResult(Struct, frozen=True):
    """The result of a request. `agrees`: the evidence does not contradict what was asked for.

    `sha256` is of the image that runs, or is kept. `undoable`: it can be reverted.
    """

    device_id: str
    device_name: str
    name: str
    evidence: Evidence
    change_id: int
    agrees: bool = True
    sha256: str | None = None
    undoable: bool = True

    @property
    def verified(self) -> bool | None:
        """True if the device showed it, False if that contradicts what was asked for, None if nobody has seen it."""
        if not self.agrees:
            return False
        return None if self.evidence.kind == "accepted" else True


class Deployment(ChangeResult, frozen=True, kw_only=True):
    """A program that a device accepted. `agrees`: the board does not contradict the trial.

    `heap_bytes` is the memory that it was installed with. `warning` names the schedules on its pins.
    """

    image: ProgramImage
    heap_bytes: int
    trial: Trial
    replaced: bool
    expected: tuple[ExpectationResult, ...] = ()
    expectations: Expectations | None = None
    warning: str | None = None


MAX_ASKED_EDGES: Final = 400


async def asked_program(
    log: ChangeLog, there: ProgramState, image: ProgramImage, trial: Trial, cautions: tuple[str, ...] = ()
) -> AskedProgram:
    """Return the program as a question shows it, with what changes against the version that it replaces."""
    edges = tuple(_edge_rows(trial.edges[:MAX_ASKED_EDGES]))
    replaces: str | None = None
    diff: tuple[str, ...] = ()
    if there.running is not None:
        replaced = await log.image(there.running.sha256)
        replaces = replaced.sha256
        diff = await source_diff(replaced.source, image.source)
    return AskedProgram(
        device=there.device.name,
        name=there.name,
        sha256=image.sha256,
        pins=tuple(sorted({*image.pins, *trial.pins})),
        edges=edges,
        trial_ms=trial.board_ms,
        replaces=replaces,
        diff=diff,
        network=image.network,
        cautions=cautions,
    )


MAX_PROOF_EDGES: Final = 2_000  # of the trial, and of the board


async def keep_proof(log: ChangeLog, made: Deployment) -> None:
    """Keep what the trial and the board showed. A proof by expectations stays where there are none this time.

    The program runs without it: an error of the store is logged.
    """
    # Reading the text of a picture may take some ten milliseconds.
    parts = await asyncio.to_thread(last_states, made.trial)
    text = made.expectations.text if made.expectations else ""
    document = {
        # With what happens outside, as presses: the next version is tried by the same text.
        "text": text,
        "proof": proof_of(made.expected, made.trial.untried),
        "expected": [result.to_json() for result in made.expected],
        "trial": {
            "edges": _edge_rows(made.trial.edges),
            "board_ms": round(made.trial.board_ms, 3),
            "ended": made.trial.ended,
        },
        "screens": to_builtins(made.trial.pictures),
        "parts": to_builtins(parts),
        "evidence": {"kind": made.evidence.kind, "text": made.evidence.text, "edges": _edge_rows(made.evidence.edges)},
        "verified": made.verified,
    }
    row = ProofRow(made.device_id, made.image.sha256, log.now_ms(), json.dumps(document, separators=(",", ":")))
    try:
        await log.put_proof(row, over=bool(made.expected))
    except StoreError:
        _log.exception("the proof of change %d is not kept", made.change_id)


def _edge_rows(edges: Sequence[Edge]) -> list[tuple[float, int, int]]:
    return [(round(edge.t_ms, 3), edge.pin, edge.level) for edge in edges[:MAX_PROOF_EDGES]]


MAX_DIFF_LINES: Final = 1_000
MAX_DIFF_CHARS: Final = 64_000
"""Of each source. A question shows no longer source either (host/auth/approvals.py)."""
_CONTEXT_LINES: Final = 3


async def source_diff(before: str | None, after: str | None) -> tuple[str, ...]:
    """Lines that begin with "+", "-", " " or "@@"; none only where a source is not kept, or both are the same."""
    if before is None or after is None or before == after:
        return ()
    old = code_lines(before)
    new = code_lines(after)
    if max(len(old), len(new)) > MAX_DIFF_LINES or max(len(before), len(after)) > MAX_DIFF_CHARS:
        return (f"@@ not compared: {count_text(len(old), 'line')} before, {count_text(len(new), 'line')} now @@",)
    if old == new:
        return ("@@ the lines are the same: what ends them differs @@",)
    lines = difflib.unified_diff(old, new, lineterm="", n=_CONTEXT_LINES)
    return (await asyncio.to_thread(tuple, lines))[2:]  # some ten ms for the longest; without the names of files
