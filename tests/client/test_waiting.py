"""A call that may wait for a yes: when its answer is too long in coming, and what it raises."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from microclaw.client.calls import wait_asking
from microclaw.errors import NoHost, PermissionRefused
from microclaw.events import ApprovalAsked

QUESTION = ApprovalAsked("a-1", "forget the device", (), 60.0)


@pytest.fixture
def held() -> Iterator[threading.Event]:
    """What a call waits for; it is let go at the end."""
    event = threading.Event()
    yield event
    event.set()


def wait(work: Callable[[], str], question: Callable[[], ApprovalAsked | None]) -> tuple[str, list[ApprovalAsked]]:
    asked: list[ApprovalAsked] = []
    value = wait_asking(
        work,
        question=question,
        ask=asked.append,
        take_back=asked.remove,
        silent_s=0.0,
        silent=lambda: NoHost("silent"),
    )
    return value, asked


def test_a_call_that_nothing_holds_up_must_answer_in_time(held: threading.Event) -> None:
    with pytest.raises(NoHost):
        wait(lambda: str(held.wait(30)), lambda: None)


def test_a_question_is_asked_once_and_its_time_does_not_count(held: threading.Event) -> None:
    looks = iter((QUESTION, QUESTION))

    def look() -> ApprovalAsked | None:
        found = next(looks, None)
        if found is None:
            held.set()
            return QUESTION
        return found

    assert wait(lambda: str(held.wait(30)), look) == ("True", [QUESTION])


def test_what_the_call_raises_is_raised(held: threading.Event) -> None:
    def refused() -> str:
        raise PermissionRefused("declined")

    with pytest.raises(PermissionRefused):
        wait(refused, lambda: None)


def test_ctrl_c_takes_back_what_was_asked(held: threading.Event) -> None:
    taken: list[ApprovalAsked] = []

    def interrupted(_: ApprovalAsked) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wait_asking(
            lambda: held.wait(30),
            question=lambda: QUESTION,
            ask=interrupted,
            take_back=taken.append,
            silent_s=5.0,
            silent=lambda: NoHost("silent"),
        )
    assert taken == [QUESTION]
