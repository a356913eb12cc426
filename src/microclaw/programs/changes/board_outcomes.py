"""The outcomes of a tool on many boards, as one result: each outcome in words, and how it is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from microclaw.devices.registry.selection import names_text
from microclaw.errors import (
    BoardsFailed,
    BoardsUnknown,
    DeviceLied,
    DeviceTimeout,
    InstallInterrupted,
    MicroclawError,
    ProtocolError,
)
from microclaw.events import Evidence, EvidenceKind, Step
from microclaw.host.operations.tool import ToolOutput
from microclaw.programs.changes.many_boards import BoardOutcome
from microclaw.text import count_text, cut_at_word

ToolOutcome: TypeAlias = BoardOutcome[list[ToolOutput]]
_DONE: Final[Mapping[EvidenceKind, str]] = {
    "counted": "done, checked",
    "reported": "done, the board says so",
    "accepted": "accepted, no read-back",
    "written": "done",
}
_WORST_FIRST: Final[tuple[EvidenceKind, ...]] = ("accepted", "written", "reported", "counted")
_UNKNOWN: Final = (DeviceTimeout, DeviceLied, ProtocolError, InstallInterrupted)
_MAX_ERROR_CHARS: Final = 200
_MAX_NEXT_STEPS: Final = 2


def outcome_step(outcome: ToolOutcome, *, reads: bool) -> Step:
    """Return the step that reports the outcome on a board. `reads`: the tool changes nothing."""
    text, kind = _outcome_text(outcome, reads=reads)
    line = f"{outcome.device_name}: {text}"
    if kind is not None:
        return Step("tool", line)
    step = None
    if outcome.error is not None:
        step = outcome.error.next_step
    return Step("tool", line, "failed", next_step=step)


def outcomes_output(outcomes: Sequence[ToolOutcome], *, reads: bool) -> ToolOutput:
    """Return one result for all boards.

    Raises BoardsFailed if the tool failed on one of them, BoardsUnknown if the outcome on one is unknown.
    """
    names_by_text: dict[str, list[str]] = {}
    kinds: list[EvidenceKind] = []
    for outcome in outcomes:
        text, kind = _outcome_text(outcome, reads=reads)
        names_by_text.setdefault(text, []).append(outcome.device_name)
        if kind is not None:
            kinds.append(kind)
    listed = "; ".join(f"{names_text(names)}: {text}" for text, names in names_by_text.items())
    if len(kinds) < len(outcomes):
        raise _failure(outcomes, listed, len(kinds), reads=reads)
    changes = []
    for outcome in outcomes:
        for output in outcome.value or ():
            if output.fields.get("change") is not None:
                changes.append(output.fields["change"])
    fields = {"success": True, "message": listed, "count": len(outcomes), "changes": changes}
    return ToolOutput(fields, (Evidence(_worst(kinds), listed),))


def _failure(outcomes: Sequence[ToolOutcome], listed: str, done_count: int, *, reads: bool) -> MicroclawError:
    kind: type[MicroclawError] = BoardsFailed
    steps: dict[str, None] = {}
    foreign = None
    for outcome in outcomes:
        error = outcome.error
        if error is None:
            continue
        if isinstance(error, _UNKNOWN):
            kind = BoardsUnknown
        if error.next_step and len(steps) < _MAX_NEXT_STEPS:
            steps[error.next_step] = None
        if error.foreign:
            foreign = True
    if done_count and not reads:
        steps["undo reverts what was done"] = None
    return kind(
        f"done on {done_count} of {count_text(len(outcomes), 'board')}; {listed}",
        next_step="; ".join(steps) or "look at the boards: microclaw device list",
        foreign=foreign,
    )


def _outcome_text(outcome: ToolOutcome, *, reads: bool) -> tuple[str, EvidenceKind | None]:
    """Return the outcome on a board in words, and how it is known; None if it is not done."""
    if outcome.value is None:
        message = "it failed"
        if outcome.error is not None:
            message = outcome.error.message
        return cut_at_word(message.rstrip("."), _MAX_ERROR_CHARS), None
    proofs: list[Evidence] = []
    words: list[str] = []
    for output in outcome.value:
        proofs += output.evidence
        if isinstance(output.fields.get("warning"), str):
            words.append(f"careful: {output.fields['warning']}")
    proof_text = "; ".join(proof.text for proof in proofs)
    if any(output.fields.get("verified") is False for output in outcome.value):
        return f"not verified: {proof_text}", None
    kind = _worst(proof.kind for proof in proofs)
    done = proof_text if reads else _DONE[kind]
    return ", ".join((done, *words)), kind


def _worst(kinds: Iterable[EvidenceKind]) -> EvidenceKind:
    """Return the weakest evidence of all; without any it is only accepted."""
    return min(kinds, key=_WORST_FIRST.index, default="accepted")
