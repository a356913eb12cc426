"""The circuit breaker, on a clock of its own."""

from __future__ import annotations

import pytest

from microclaw.agent.models.breaker import Breaker
from microclaw.errors import BudgetSpent, ModelError, ModelFault


class Clock:
    at_s = 1000.0

    def __call__(self) -> float:
        return self.at_s


def error(fault: ModelFault = "server", retry_after_s: float | None = None) -> ModelError:
    return ModelError("failed", fault=fault, retry_after_s=retry_after_s)


def fail(breaker: Breaker, *errors: ModelError) -> None:
    for each in errors:
        assert breaker.wait_s == 0
        breaker.note_failure(each)


@pytest.mark.parametrize(
    ("errors", "wait_s"),
    [
        ([error(), error()], 0),
        ([error(), error(), error("timeout")], 15),
        ([error("auth")], 600),
        ([error("quota")], 600),
        *(([error(fault, 42)], 42) for fault in ("rate_limit", "overloaded", "server")),
        ([error("rate_limit", 1e9)], 3600),  # no service can ask to be left alone for ever
        ([*[error("refused")] * 5, *[BudgetSpent("spent")] * 5], 0),  # no fault of the service
    ],
)
def test_it_is_open_for_as_long_as_the_faults_in_a_row_deserve(errors: list[ModelError], wait_s: float) -> None:
    breaker = Breaker(Clock())
    fail(breaker, *errors)
    assert breaker.wait_s == wait_s


def test_the_error_that_is_told_is_the_one_that_the_wait_is_for() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    quota = error("quota")
    breaker.note_failure(quota)
    breaker.note_failure(error("unreachable"))  # of a request that was on its way before
    assert (breaker.last, breaker.wait_s, breaker.is_wait_asked) == (quota, 600, False)
    clock.at_s += 600
    late = error("unreachable")
    breaker.note_failure(late)
    assert (breaker.last, breaker.wait_s, breaker.is_wait_asked) == (late, 15, False)


def test_each_failure_after_a_pause_doubles_the_pause_up_to_a_limit_and_a_success_ends_it() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    fail(breaker, *[error()] * 3)
    waits = []
    for _ in range(9):
        clock.at_s += breaker.wait_s
        fail(breaker, error())
        waits.append(breaker.wait_s)
    assert waits == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    clock.at_s += 3600
    breaker.note_success()
    fail(breaker, error(), error())
    assert breaker.wait_s == 0
