"""The circuit breaker, on a clock of its own."""

from __future__ import annotations

import pytest

from microclaw.errors import BudgetSpent, ModelError, ModelFault
from microclaw.models.breaker import PAUSE_S, Breaker


class Clock:
    def __init__(self) -> None:
        self.at_s = 1000.0

    def __call__(self) -> float:
        return self.at_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock)


def error(fault: ModelFault = "server", retry_after_s: float | None = None) -> ModelError:
    return ModelError("failed", fault=fault, retry_after_s=retry_after_s)


def state(breaker: Breaker) -> str:
    return breaker.state


def fail(breaker: Breaker, *errors: ModelError) -> None:
    for each in errors:
        assert breaker.enter()
        breaker.failed(each)


def test_it_opens_after_as_many_failures_in_a_row_as_named(breaker: Breaker) -> None:
    fail(breaker, error(), error())
    assert state(breaker) == "closed"
    fail(breaker, error("timeout"))
    assert state(breaker) == "open"
    assert not breaker.enter()
    assert breaker.wait_s == PAUSE_S


@pytest.mark.parametrize("fault", ["auth", "quota"])
def test_a_refused_key_opens_it_at_once_and_for_long(breaker: Breaker, fault: ModelFault) -> None:
    fail(breaker, error(fault))
    assert breaker.wait_s == 600


@pytest.mark.parametrize("fault", ["rate_limit", "overloaded", "server"])
def test_what_the_service_asks_for_is_kept(breaker: Breaker, clock: Clock, fault: ModelFault) -> None:
    fail(breaker, error(fault, retry_after_s=42))
    assert breaker.wait_s == 42
    clock.at_s += 41.9
    assert not breaker.enter()
    clock.at_s += 0.2
    assert breaker.enter()


def test_no_service_can_ask_to_be_left_alone_for_ever(breaker: Breaker) -> None:
    fail(breaker, error("rate_limit", retry_after_s=1e9))
    assert breaker.wait_s == 3600


def test_half_open_lets_one_request_through(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, *[error()] * 3)
    clock.at_s += PAUSE_S
    assert state(breaker) == "half-open"
    assert breaker.enter()
    assert not breaker.enter()
    breaker.succeeded()
    assert state(breaker) == "closed"
    assert breaker.enter()
    assert breaker.enter()


def test_each_failed_trial_doubles_the_pause_up_to_a_limit(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, *[error()] * 3)
    waits = []
    for _ in range(9):
        clock.at_s += breaker.wait_s
        fail(breaker, error())
        waits.append(breaker.wait_s)
    assert waits == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]


def test_a_cancelled_trial_lets_the_next_one_through(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, *[error()] * 3)
    clock.at_s += PAUSE_S
    assert breaker.enter()
    breaker.left()
    assert breaker.enter()


def test_a_wrong_request_is_no_fault_of_the_service(breaker: Breaker) -> None:
    fail(breaker, *[error("refused")] * 5, *[BudgetSpent("spent")] * 5)
    assert state(breaker) == "closed"


def test_a_late_failure_does_not_shorten_the_pause(breaker: Breaker) -> None:
    assert breaker.enter()
    fail(breaker, error("auth"))
    breaker.failed(error("rate_limit", retry_after_s=1))
    assert breaker.wait_s == 600
