"""A call that may wait for a person's yes: meanwhile the question is asked here. What the call is, others know."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from microclaw.events import ApprovalAsked

LOOK_S: Final = 1.0  # an ordinary call has its answer by then
MAX_WAIT_S: Final = 86_400.0 + 60  # the longest time an approval may be given (config: agent.approval_s)

_T = TypeVar("_T")


def wait_asking(
    work: Callable[[], _T],
    *,
    question: Callable[[], ApprovalAsked | None],
    ask: Callable[[ApprovalAsked], None],
    take_back: Callable[[ApprovalAsked], None],
    silent_s: float,
    silent: Callable[[], Exception],
) -> _T:
    """Do `work` in a thread and return what it returns or raises.

    `question` is what it waits for; each is asked once. Time in which nothing is asked counts towards `silent_s`, then
    `silent()` is raised. Ctrl-C takes the question back, so that nobody else says yes to what nobody wants any more.
    """
    running = _Running(work)
    running.start()
    asked: set[str] = set()
    until = time.monotonic() + silent_s
    waits: ApprovalAsked | None = None
    try:
        while not running.ended.wait(LOOK_S):
            waits = question()
            if waits is None:
                if time.monotonic() > until:
                    raise silent()
                continue
            until = time.monotonic() + silent_s
            if waits.approval_id not in asked:
                asked.add(waits.approval_id)
                ask(waits)
    except KeyboardInterrupt:
        if waits is not None:
            take_back(waits)
        raise
    return running.result()


class _Running(threading.Thread, Generic[_T]):
    """One call in a thread, which ends with the process."""

    def __init__(self, work: Callable[[], _T]) -> None:
        super().__init__(name="call of the host", daemon=True)
        self.ended = threading.Event()
        self._work = work
        self._value: list[_T] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._value.append(self._work())
        except BaseException as exc:
            self._error = exc  # raised where the result is asked for
        finally:
            self.ended.set()

    def result(self) -> _T:
        if self._error is not None:
            raise self._error
        return self._value[0]
