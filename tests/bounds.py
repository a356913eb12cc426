"""How long setting up, running or tearing down a test may take: what waits for ever fails, and the run goes on.

So a wait in a test or a fixture needs no bound of its own. One in a thread or a process that a test starts does:
Python waits for its threads when it ends, and no alarm reaches them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Never

import pytest

# Several times the longest phase on a loaded machine; `make fuzz` and `make kills` take as long as one wants.
LONGEST_S = float(os.environ.get("MICROCLAW_LONGEST_S", "600"))
# A callback of an event loop may take the first alarm as its own error.
AGAIN_S = 5


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup() -> Generator[None, None, None]:
    with within(LONGEST_S):
        yield


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    with within(LONGEST_S):
        yield


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown() -> Generator[None, None, None]:
    with within(LONGEST_S):
        yield


@contextmanager
def within(limit_s: float) -> Iterator[None]:
    """Fail the test if the body is not done in that time, whatever it waits for."""
    handler = signal.signal(signal.SIGALRM, _fail)
    timer = signal.setitimer(signal.ITIMER_REAL, limit_s, AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, handler)


def _fail(_signal: int, _frame: FrameType | None) -> Never:
    try:
        tasks = asyncio.all_tasks()
    except RuntimeError:
        tasks = set()
    for task in tasks:
        task.print_stack(file=sys.stderr)
    pytest.fail("waited too long: the stacks of all tasks of the event loop are in stderr")
