"""The outcome of each expectation: in the trial, then on the board. People and models read its answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct, structs

from microclaw.events import Edge, Evidence
from microclaw.programs.proof.checks import Period, Phase
from microclaw.programs.proof.expectation_text import ALL_FORMS
from microclaw.programs.proof.expectations import (
    Answer,
    Check,
    CheckResult,
    EdgeMoments,
    ExpectationLine,
    Expectations,
    LevelState,
)
from microclaw.programs.proof.pwm_checks import Duty
from microclaw.programs.proof.record import Record
from microclaw.programs.proof.screen_checks import ScreenAt, ScreenEvery, ScreenOnce, ScreenShows

NO_EXPECTATION: Final = "no expectation given: this is what it did"
_WORST_FIRST: Final = (
    "not met",
    "untried",
    "met in the trial; not seen",
    "met in the trial; accepted",
    "met in the trial; reported",
    "met in the trial",
    "seen on the board",
)
_CHANGE: Final = f"change the program; or the line or its tolerance, as +- 10 %; {ALL_FORMS}"
_TRY: Final = "add a stimulus as: set pin 4 = 0 at 2 s, or a longer trial as: for 30 s"
_PULL: Final = "open the pin with a pull-up or pull-down; or wire a resistor, and note it: resistor = 1"
_ON_BOARD: Final = "leave the expectation out, install it, and read the board's log"
# Two edges of a period are half of it, and the trial agrees with them.
_LEAST_OF_CYCLE: Final = 0.45
BoardState: TypeAlias = Literal["seen on the board", "reported", "accepted only", "not seen on the board"]


class ExpectationResult(Struct, frozen=True):
    """One line of the text: what the trial showed, and later what the board showed (None: not installed).

    `at_ms`: the moment in the trial that shows it, if there is one.
    """

    asked: ExpectationLine
    trial: Answer
    found: str
    board: BoardState | None = None
    next_step: str | None = None
    at_ms: float | None = None

    @property
    def trial_answer(self) -> str:
        """met in the trial, not met, untried."""
        if self.trial == "met":
            return "met in the trial"
        return self.trial

    @property
    def answer(self) -> str:
        """The trial's answer; after an installation with what the board shows, or `seen on the board`."""
        if self.board == "seen on the board":
            return self.board
        if self.board is None:
            return self.trial_answer
        return f"{self.trial_answer}; {self.board}"

    def line(self) -> str:
        """Return the answer with what was seen; after an installation it says that the trial showed that, no board."""
        found = self.found
        if self.board is not None:
            found = f"in the trial: {found}"
        return f"{self.asked.text}: {self.answer} ({found})"

    def to_json(self) -> dict[str, Any]:
        return {
            "line": self.asked.number,
            "text": self.asked.text,
            "trial": self.trial_answer,
            "board": self.board,
            "answer": self.answer,
            "found": self.found,
        }


def evaluate(expectations: Expectations, record: Record) -> tuple[ExpectationResult, ...]:
    """Compare each line with the record of a trial."""
    if record.overflowed:
        text = "it moved or printed more often than the record holds: a shorter trial, as for 5 s, shows all of it"
        return tuple(ExpectationResult(line, "untried", text) for line in expectations.lines)
    checks = expectations.checks
    return tuple(_line_result(line, checks, record) for line in expectations.lines)


def _line_result(line: ExpectationLine, program: Sequence[Check], seen: Record) -> ExpectationResult:
    """Return the first finding that is not met, else the first untried one, else all of them."""
    texts = []
    untried: CheckResult | None = None
    at_ms: float | None = None
    for check in line.checks:
        finding = check.judge(seen, program)
        if at_ms is None:
            at_ms = finding.at_ms
        if finding.state == "not met":
            return _result_of(line, finding)
        if finding.state == "untried":
            untried = untried or finding
        texts.append(finding.text)
    if untried is not None:
        return _result_of(line, untried)
    return ExpectationResult(line, "met", ", ".join(texts), at_ms=at_ms)


def _result_of(line: ExpectationLine, finding: CheckResult) -> ExpectationResult:
    return ExpectationResult(line, finding.state, finding.text, next_step=finding.next_step, at_ms=finding.at_ms)


def without_part(
    results: Sequence[ExpectationResult], untried: str, next_step: str = _ON_BOARD
) -> tuple[ExpectationResult, ...]:
    """Return the results of a program for which the trial lacks something: what is not met is untried."""
    changed: list[ExpectationResult] = []
    for result in results:
        if result.trial == "not met":
            result = structs.replace(result, trial="untried", found=untried, next_step=next_step)
        changed.append(result)
    return tuple(changed)


def unproved(results: Sequence[ExpectationResult], reason: str) -> tuple[ExpectationResult, ...]:
    """Return the results of a program that depends on a level which nobody knows: all of them are untried."""
    return tuple(ExpectationResult(result.asked, "untried", reason, next_step=_PULL) for result in results)


def failure(results: Sequence[ExpectationResult]) -> tuple[str, str] | None:
    """Return why a program is refused by its expectations, with the next step; None if all are met."""
    result = _first(results, "not met")
    verb = "the trial shows"
    step = _CHANGE
    if result is None:
        result = _first(results, "untried")
        verb = "untried"
        step = _TRY
    if result is None:
        return None
    error = f"expected, line {result.asked.number}: {result.asked.text}; {verb}: {result.found}"
    return error, result.next_step or step


def _first(results: Sequence[ExpectationResult], answer: Answer) -> ExpectationResult | None:
    return next((result for result in results if result.trial == answer), None)


def proof_of(results: Sequence[ExpectationResult], untried: str | None = None) -> str:
    """Return the proof of a program as a whole: that of its least proved expectation, in the words of docs/proof.md.

    `untried` is what the trial lacked, if the program ended by that.
    """
    if untried is not None:
        return f"untried: {untried}"
    for beginning in _WORST_FIRST:
        for result in results:
            if result.answer.startswith(beginning):
                return result.answer
    return NO_EXPECTATION


def seen_on_board(
    results: Sequence[ExpectationResult],
    evidence: Evidence,
    agreeing: frozenset[int],
    printed: Sequence[str] = (),
) -> tuple[ExpectationResult, ...]:
    """Return the results with what the board's counted edges show, and the lines that the program printed there.

    `agreeing` are the pins whose edges were as in the trial. A watch is short, so a line is seen if it speaks only of
    such pins and its edges were counted at least twice, two at different moments. Stimuli and printed lines are not.
    No board tells what its display shows: a text is reported if the program also prints it.
    """
    changed = []
    for result in results:
        state: BoardState = "accepted only"
        if evidence.kind == "counted":
            state = _board_state(result.asked.checks, evidence.edges, agreeing)
        if state == "accepted only" and _is_printed(result.asked.checks, printed):
            state = "reported"
        changed.append(structs.replace(result, board=state))
    return tuple(changed)


def _board_state(checks: Sequence[Check], edges: Sequence[Edge], agreeing: frozenset[int]) -> BoardState:
    """Return the state of a line: what one of its checks lacks, the whole line lacks."""
    state: BoardState = "seen on the board"
    for check in checks:
        match check:
            case Period(subject=EdgeMoments(pin=pin)):
                least_ms = check.period_ms * check.count
            case Phase(subject=LevelState(pin=pin)):
                least_ms = check.length_ms
            case Duty(subject=LevelState(pin=pin)):
                least_ms = _longest_period_ms(checks)
            case _:
                state = "accepted only"
                continue
        moments = [edge.t_ms for edge in edges if edge.pin == pin]
        if moments and pin not in agreeing:
            return "not seen on the board"
        if len(moments) < 2 or moments[-1] - moments[0] < _LEAST_OF_CYCLE * least_ms:
            state = "accepted only"
    return state


def is_about_display(result: ExpectationResult) -> bool:
    """Return True if one of its checks is about the text of a display."""
    return any(isinstance(check.subject, ScreenShows) for check in result.asked.checks)


def _is_printed(checks: Sequence[Check], lines: Sequence[str]) -> bool:
    """Return True if all checks are texts that a display shows, and the program printed each of them."""
    for check in checks:
        if not isinstance(check, ScreenAt | ScreenOnce | ScreenEvery):
            return False
        text = check.subject.text
        if text is None or not any(map(text.is_in, lines)):
            return False
    return True


def _longest_period_ms(checks: Sequence[Check]) -> float:
    return max((check.period_ms for check in checks if isinstance(check, Period)), default=0.0)
