"""The outcome of each expectation: in the trial, then on the board. People and models read its answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct, structs

from microclaw.events import Edge, Evidence
from microclaw.programs.proof.checks import Duty, Period, Phase
from microclaw.programs.proof.expectation_text import ALL_FORMS
from microclaw.programs.proof.expectations import Answer, Check, EdgeMoments, ExpectationLine, Expectations, LevelState
from microclaw.programs.proof.record import Record

NO_EXPECTATION: Final = "no expectation given: this is what it did"
_WORST_FIRST: Final = (
    "not met",
    "untried",
    "met in the trial; not seen",
    "met in the trial; accepted",
    "met in the trial",
    "seen on the board",
)
_CHANGE: Final = f"change the program; or the line or its tolerance, as +- 10 %; {ALL_FORMS}"
_TRY: Final = "add a stimulus as: set pin 4 = 0 at 2 s, or a longer trial as: for 30 s"
_ON_BOARD: Final = "leave the expectation out, install it, and read the board's log"
_LEAST_OF_CYCLE = 0.45  # two edges of a period are half of it, and the trial agrees with them
BoardState: TypeAlias = Literal["seen on the board", "accepted only", "not seen on the board"]


class ExpectationResult(Struct, frozen=True):
    """One line of the text: what the trial showed, and later what the board showed (None: not installed)."""

    asked: ExpectationLine
    trial: Answer
    found: str
    board: BoardState | None = None
    next_step: str | None = None

    @property
    def answer(self) -> str:
        """met in the trial, not met, untried; after an installation: seen on the board, or accepted only."""
        if self.board == "seen on the board":
            return self.board
        said = "met in the trial" if self.trial == "met" else self.trial
        if self.board is None:
            return said
        return f"{said}; {self.board}"

    def line(self) -> str:
        """The answer with what the trial showed, which no board did: after an installation that is said."""
        of_trial = "" if self.board is None else "in the trial: "
        return f"{self.asked.text}: {self.answer} ({of_trial}{self.found})"

    def to_json(self) -> dict[str, Any]:
        return {
            "line": self.asked.number,
            "text": self.asked.text,
            "trial": "met in the trial" if self.trial == "met" else self.trial,
            "board": self.board,
            "answer": self.answer,
            "found": self.found,
        }


def evaluate(expectations: Expectations, record: Record) -> tuple[ExpectationResult, ...]:
    """Each line against the record of a trial."""
    if record.overflowed:
        text = "it moved or printed more often than the record holds: a shorter trial, as for 5 s, shows all of it"
        return tuple(ExpectationResult(line, "untried", text) for line in expectations.lines)
    return tuple(_line_result(line, expectations.checks, record) for line in expectations.lines)


def without_part(results: Sequence[ExpectationResult], untried: str) -> tuple[ExpectationResult, ...]:
    """Return the results of a program that ended as the trial has not its part: what is not met is untried."""
    changed: list[ExpectationResult] = []
    for result in results:
        if result.trial == "not met":
            result = structs.replace(result, trial="untried", found=untried, next_step=_ON_BOARD)
        changed.append(result)
    return tuple(changed)


def _line_result(line: ExpectationLine, program: Sequence[Check], seen: Record) -> ExpectationResult:
    findings = [asked.judge(seen, program) for asked in line.checks]
    for state in ("not met", "untried"):
        worst = next((found for found in findings if found.state == state), None)
        if worst is not None:
            return ExpectationResult(line, worst.state, worst.text, next_step=worst.next_step)
    return ExpectationResult(line, "met", ", ".join(found.text for found in findings))


def failure(results: Sequence[ExpectationResult]) -> tuple[str, str] | None:
    """Why a program is refused by its expectations, with the next step; None when all are met."""
    for state, said, step in (("not met", "the trial shows", _CHANGE), ("untried", "untried", _TRY)):
        bad = next((result for result in results if result.trial == state), None)
        if bad is not None:
            return f"expected, line {bad.asked.number}: {bad.asked.text}; {said}: {bad.found}", bad.next_step or step
    return None


def proof_of(results: Sequence[ExpectationResult], untried: str | None = None) -> str:
    """Return the proof of a program as a whole: that of its least proved expectation, in the words of docs/proof.md.

    `untried` is what the trial lacked, if the program ended by that.
    """
    if untried is not None:
        return f"untried: {untried}"
    answers = [result.answer for result in results]
    ranks = (answer for begin in _WORST_FIRST for answer in answers if answer.startswith(begin))
    return next(ranks, NO_EXPECTATION)


def seen_on_board(
    results: Sequence[ExpectationResult], evidence: Evidence, agreeing: frozenset[int]
) -> tuple[ExpectationResult, ...]:
    """The results with what the board's counted edges show.

    `agreeing` are the pins whose edges were as in the trial. A watch is short, so a line is seen when it speaks of such
    pins alone and its edges were counted at least twice, two at different moments. Stimuli and printed lines are not.
    """
    if evidence.kind != "counted":
        return tuple(structs.replace(result, board="accepted only") for result in results)
    return tuple(
        structs.replace(one, board=_board_state(one.asked.checks, evidence.edges, agreeing)) for one in results
    )


def _board_state(checks: Sequence[Check], edges: Sequence[Edge], agreeing: frozenset[int]) -> BoardState:
    states: set[BoardState] = set()
    for asked in checks:
        match asked:
            case Period(subject=EdgeMoments(pin=pin)):
                least_ms = asked.period_ms * asked.count
            case Phase(subject=LevelState(pin=pin)):
                least_ms = asked.length_ms
            case Duty(subject=LevelState(pin=pin)):
                least_ms = max((one.period_ms for one in checks if isinstance(one, Period)), default=0.0)
            case _:
                states.add("accepted only")
                continue
        counted = [edge.t_ms for edge in edges if edge.pin == pin]
        if counted and pin not in agreeing:
            return "not seen on the board"
        is_seen = len(counted) > 1 and counted[-1] - counted[0] >= _LEAST_OF_CYCLE * least_ms
        states.add("seen on the board" if is_seen else "accepted only")
    return "accepted only" if "accepted only" in states else "seen on the board"
