"""Makes expectations of a recording: only lines that the recording meets, and a trial of its program, too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal, TypeAlias

from msgspec import Struct, structs

from microclaw.errors import ConfigError
from microclaw.hardware.parts.wiring import Wiring
from microclaw.programs.bench.recorded_effects import Proposal, Take, propose_reactions, propose_states
from microclaw.programs.bench.recorded_stimuli import RecordedStimulus, recorded_stimuli
from microclaw.programs.proof.expectation_result import evaluate
from microclaw.programs.proof.expectation_text import MAX_LINES, parse_expectations
from microclaw.programs.proof.expectations import Expectations
from microclaw.programs.proof.part_stimuli import with_settings
from microclaw.programs.proof.record import Record
from microclaw.wire.board_replies import ShownRow

LineKind: TypeAlias = Literal["stimulus", "followed"]
MAX_STIMULUS_LINES: Final = 60
_SLICE: Final = 40
"""Proposals that are compared with the record at once; an expectation's text has at most MAX_LINES."""
_ANY_CHECK: Final = 'log never ~ "no line is like this"'
"""Expectations without a check are refused."""


class RecordedLine(Struct, frozen=True):
    """A line of expectations: a stimulus that hands gave, or what followed."""

    text: str
    kind: LineKind


class RecordedLines(Struct, frozen=True):
    """The lines of a recording. `cut_ms`: there were more stimuli than fit, and it ends there."""

    stimuli: tuple[RecordedStimulus, ...]
    followed: tuple[Proposal, ...]
    cut_ms: float | None = None

    @property
    def lines(self) -> list[RecordedLine]:
        """All lines by their times; those about all times come last."""
        rows: list[tuple[float, int, RecordedLine]] = []
        for stimulus in self.stimuli:
            rows.append((stimulus.at_ms, 0, RecordedLine(stimulus.text, "stimulus")))
        always: list[RecordedLine] = []
        for proposal in self.followed:
            line = RecordedLine(proposal.text, "followed")
            if proposal.trigger is None:
                rows.append((proposal.at_ms, 1, line))
            else:
                always.append(line)
        rows.sort(key=lambda row: row[:2])
        lines = []
        for _, _, line in rows:
            lines.append(line)
        return lines + always

    @property
    def text(self) -> str:
        """The expectations as one text."""
        return "\n".join(line.text for line in self.lines)


TryLines: TypeAlias = Callable[[Expectations], Awaitable[set[str] | None]]
"""Returns the texts of the lines that a trial of the recorded program meets; None if it cannot be tried."""


def recorded_lines(record: Record, wiring: Wiring, moves: Sequence[ShownRow]) -> RecordedLines:
    """Return the lines of a recording. Times are from its beginning; the parser of expectations takes each line."""
    stimuli = recorded_stimuli(moves, wiring, record.board_ms)
    cut_ms = None
    if len(stimuli) > MAX_STIMULUS_LINES:
        cut_ms = stimuli[MAX_STIMULUS_LINES].at_ms
        stimuli = stimuli[:MAX_STIMULUS_LINES]
        record = structs.replace(record, board_ms=cut_ms)
    stimuli = [stimulus for stimulus in stimuli if _is_readable(stimulus.text, wiring)]
    moments = tuple(row.t_ms for row in moves if row.t_ms < record.board_ms)
    if record.overflowed or not moments:
        return RecordedLines(tuple(stimuli), (), cut_ms)
    take = Take(record=record, wiring=wiring, moments=moments)
    reactions = _without_double(_true_of(take, propose_reactions(take)))
    answered_pins = set[int]()
    for reaction in reactions:
        answered_pins |= reaction.pins
    states = [state for state in propose_states(take) if not state.pins & answered_pins]
    followed = [*reactions, *_true_of(take, states)]
    room = MAX_LINES - len(stimuli)
    return RecordedLines(tuple(stimuli), tuple(followed[:room]), cut_ms)


async def with_trial(lines: RecordedLines, try_lines: TryLines) -> RecordedLines:
    """Return only the lines that a trial of the recorded program meets, too."""
    # A reaction may have been excused by a line that is left out, so what is left is tried again.
    while lines.followed:
        met = await try_lines(parse_expectations(lines.text))
        if met is None:
            return lines
        left = tuple(proposal for proposal in lines.followed if proposal.text in met)
        if len(left) == len(lines.followed):
            return lines
        lines = structs.replace(lines, followed=left)
    return lines


def _is_readable(text: str, wiring: Wiring) -> bool:
    """Return True if the parser of expectations takes the line, and the wiring has its part."""
    try:
        with_settings(parse_expectations(f"{text}\n{_ANY_CHECK}"), wiring)
    except ConfigError:
        return False
    return True


def _true_of(take: Take, proposals: Sequence[Proposal]) -> list[Proposal]:
    """Return the proposals that are met by the record, until all of those that are left are."""
    left = [proposal for proposal in proposals if _is_readable(proposal.text, take.wiring)]
    while True:
        met: list[Proposal] = []
        for start in range(0, len(left), _SLICE):
            met += _met_of(take, left[start : start + _SLICE])
        if len(met) == len(left):
            return met
        left = met


def _met_of(take: Take, proposals: Sequence[Proposal]) -> list[Proposal]:
    text = "\n".join(proposal.text for proposal in proposals)
    expectations = with_settings(parse_expectations(text), take.wiring)
    results = evaluate(expectations, take.record)
    return [proposal for proposal, result in zip(proposals, results, strict=True) if result.trial == "met"]


def _without_double(reactions: Sequence[Proposal]) -> list[Proposal]:
    """Return the reactions without those that others say, too.

    "rises within 50 ms for 2 s" says more than without its end, unless the end is the reaction to another trigger.
    """
    kept = []
    for reaction in reactions:
        head = reaction.text.partition(":")[0]
        has_other_end = False
        has_longer = False
        for other in reactions:
            is_same_effect = other.trigger == reaction.trigger and other.pins == reaction.pins
            if is_same_effect and not other.text.startswith(f"{head}:"):
                has_other_end = bool(reaction.pins)
            if other.text.startswith(f"{reaction.text} for "):
                has_longer = True
        is_long = " for " in reaction.text.partition(":")[2]
        if has_other_end and is_long:
            continue
        if has_longer and not has_other_end:
            continue
        kept.append(reaction)
    return kept
