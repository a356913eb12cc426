"""What became of each expectation: in the trial, then on the board. People and models read its answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

from microclaw.apps.expectation_check import check
from microclaw.apps.expectations import Duty, ExpectationLine, Expectations, Period, PhaseLength
from microclaw.apps.observation import Observation, State, with_gaps
from microclaw.apps.verdict import Record
from microclaw.events import Edge, Evidence

NO_EXPECTATION: Final = "no expectation given: this is what it did"
_WORST_FIRST: Final = (
    "not met",
    "untried",
    "met in the trial; not seen",
    "met in the trial; accepted",
    "met in the trial",
    "seen on the board",
)
_CHANGE: Final = "change the program; or the expectation, if it is not what you want"
_LEAST_OF_CYCLE = 0.45  # two edges of a period are half of it, and the trial agrees with them
BoardState: TypeAlias = Literal["seen on the board", "accepted only", "not seen on the board"]


@dataclass(frozen=True, slots=True)
class ExpectationResult:
    """One line of the text: what the trial showed, and later what the board showed (None: not installed)."""

    number: int
    text: str
    trial: State
    found: str
    board: BoardState | None = None
    next_step: str | None = None

    @property
    def answer(self) -> str:
        """met in the trial, not met, untried; after an installation: seen on the board, or accepted only."""
        if self.board == "seen on the board":
            return self.board
        said = "met in the trial" if self.trial == "met" else self.trial
        return said if self.board is None else f"{said}; {self.board}"

    def line(self) -> str:
        return f"{self.text}: {self.answer} ({self.found})"

    def to_json(self) -> dict[str, Any]:
        return {
            "line": self.number,
            "text": self.text,
            "trial": "met in the trial" if self.trial == "met" else self.trial,
            "board": self.board,
            "answer": self.answer,
            "found": self.found,
        }


def evaluate(expectations: Expectations, record: Record) -> tuple[ExpectationResult, ...]:
    """Each line against the record of a trial."""
    seen = _observation(record)
    if record.overflowed:
        text = "it moved or printed more often than the record holds: a shorter trial, as for 5 s, shows all of it"
        return tuple(ExpectationResult(line.number, line.text, "untried", text) for line in expectations.lines)
    return tuple(_line_result(line, expectations, seen) for line in expectations.lines)


def _observation(record: Record) -> Observation:
    driven = {edge.pin for edge in record.edges}
    given = tuple(edge for edge in record.given if edge.pin not in driven)
    lines, gaps = with_gaps((line.t_ms, line.text) for line in record.lines if line.app is not None)
    return Observation(
        end_ms=record.board_ms,
        edges=(*record.edges, *given),
        pwm=record.pwm,
        leds=record.leds,
        lines=lines,
        gaps=gaps,
        levels=record.levels,
        bursts=record.bursts,
        opened=record.opened,
    )


def _line_result(line: ExpectationLine, expectations: Expectations, seen: Observation) -> ExpectationResult:
    findings = [check(asked, seen, expectations.checks) for asked in line.checks]
    worst = next((f for f in findings if f.state == "not met"), None)
    worst = worst or next((f for f in findings if f.state == "untried"), None)
    if worst is not None:
        return ExpectationResult(line.number, line.text, worst.state, worst.text, next_step=worst.next_step)
    return ExpectationResult(line.number, line.text, "met", ", ".join(f.text for f in findings))


def failure(results: Sequence[ExpectationResult]) -> tuple[str, str] | None:
    """Why a program is refused by its expectations, with the next step; None when all are met."""
    bad = next((result for result in results if result.trial == "not met"), None)
    if bad is not None:
        text = f"expected, line {bad.number}: {bad.text}; the trial shows: {bad.found}"
        return text, bad.next_step or _CHANGE
    bad = next((result for result in results if result.trial == "untried"), None)
    if bad is not None:
        text = f"expected, line {bad.number}: {bad.text}; untried: {bad.found}"
        return text, bad.next_step or "add a stimulus as: set pin 4 = 0 at 2 s, or a longer trial as: for 30 s"
    return None


def proof_of(results: Sequence[ExpectationResult]) -> str:
    """The proof of a program as a whole: that of its least proved expectation, in the words of docs/proof.md."""
    if not results:
        return NO_EXPECTATION
    return min((result.answer for result in results), key=_rank)


def _rank(answer: str) -> int:
    return next(i for i, begin in enumerate(_WORST_FIRST) if answer.startswith(begin))


def seen_on_board(
    results: Sequence[ExpectationResult],
    expectations: Expectations | None,
    evidence: Evidence,
    agreeing: frozenset[int],
) -> tuple[ExpectationResult, ...]:
    """The results with what the board's counted edges show; none without expectations.

    `agreeing` are the pins whose edges were as in the trial. A watch is short, so a line is seen when it speaks of such
    pins alone and its edges were counted at least twice, two at different moments. Stimuli and printed lines are not.
    """
    if expectations is None:
        return ()
    if evidence.kind != "counted":
        return tuple(replace(result, board="accepted only") for result in results)
    edges = evidence.edges
    by_number = {line.number: line for line in expectations.lines}
    return tuple(replace(one, board=_board_state(by_number[one.number], edges, agreeing)) for one in results)


def _board_state(line: ExpectationLine, edges: Sequence[Edge], agreeing: frozenset[int]) -> BoardState:
    states: set[BoardState] = set()
    for asked in line.checks:
        if not isinstance(asked, Period | Duty | PhaseLength):
            states.add("accepted only")
            continue
        counted = [edge.t_ms for edge in edges if edge.pin == asked.pin]
        if counted and asked.pin not in agreeing:
            states.add("not seen on the board")
        elif len(counted) > 1 and counted[-1] - counted[0] >= _LEAST_OF_CYCLE * _length_ms(asked, line):
            states.add("seen on the board")
        else:
            states.add("accepted only")
    order: tuple[BoardState, ...] = ("not seen on the board", "accepted only")
    return next((state for state in order if state in states), "seen on the board")


def _length_ms(asked: Period | Duty | PhaseLength, line: ExpectationLine) -> float:
    """What must have been counted: a period, or a phase; of a duty the period beside it."""
    match asked:
        case Period(period_ms=ms) | PhaseLength(length_ms=ms):
            return ms
        case Duty():
            return max((one.period_ms for one in line.checks if isinstance(one, Period)), default=0.0)
