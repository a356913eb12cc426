"""The wrong programs of `bench verdict`: that there are enough of every kind, and that one is judged right."""

from __future__ import annotations

from bench.verdict import judge_cases, metrics, read_cases

from microclaw.programs.proof.expectation_text import parse_expectations

KINDS = {
    "swapped pins",
    "inverted level",
    "half the period",
    "off by one",
    "missed debounce",
    "blocks after a minute",
    "overflow after 49 days",
    "leak",
    "wrong unit",
    "dead branch",
}


def test_there_are_enough_programs_of_every_kind() -> None:
    cases = read_cases()
    assert len({case.name for case in cases if not case.kind}) >= 20
    wrong = [case for case in cases if case.kind]
    assert len(wrong) >= 100
    assert {case.kind for case in wrong} >= KINDS
    assert len({case.source for case in cases}) == len(cases)
    for case in cases:
        parse_expectations(case.expect)


async def test_right_and_wrong_programs_are_told_apart() -> None:
    outcomes = await judge_cases(read_cases(["three_pulses"]))
    right_accepted = metrics(outcomes)[1].value
    wrong_accepted = metrics(outcomes)[3].value
    assert (right_accepted, wrong_accepted) == (100, 0), [o for o in outcomes if o.accepted != (not o.case.kind)]
