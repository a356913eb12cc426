"""Coroutines for programs that block: one event loop in a thread runs them, and the caller waits."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from concurrent.futures import Future
from contextlib import suppress
from contextvars import ContextVar
from functools import cache, wraps
from queue import Empty, SimpleQueue
from typing import Any, Concatenate, Final, ParamSpec, TypeAlias, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
_Jobs: TypeAlias = "SimpleQueue[Callable[[], object] | None]"
_JOBS: Final[ContextVar[_Jobs]] = ContextVar("what a waiting thread does meanwhile")
_CANCEL_S: Final = 5.0
_THREAD: Final = "calls of hosts"
_STARTS: Final = threading.RLock()


def blocking(method: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]) -> Callable[Concatenate[Any, P], R]:
    """Return the method in a form that waits for its result."""

    @wraps(method)
    def waited(self: Any, *given: P.args, **named: P.kwargs) -> R:
        return _wait(lambda: method(self, *given, **named))

    return cast("Callable[Concatenate[Any, P], R]", waited)


def iterated(
    method: Callable[Concatenate[Any, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate[Any, P], Generator[T, None, None]]:
    """Return the method in a form that waits for each value."""

    @wraps(method)
    def iterate(self: Any, *given: P.args, **named: P.kwargs) -> Generator[T, None, None]:
        values = method(self, *given, **named)
        try:
            while (value := _wait(lambda: _next(values))) is not None:
                yield value
        finally:
            if threading.current_thread().name == _THREAD:  # the collector of garbage ran there: it waits for nothing
                _loop().create_task(values.aclose())
            elif not _loop().is_closed():
                _wait(values.aclose)

    return cast("Callable[Concatenate[Any, P], Generator[T, None, None]]", iterate)


async def in_caller(function: Callable[..., Any], *given: Any) -> None:
    """Call it in the thread that waits for this coroutine; what it raises is raised there and ends the wait."""
    done: Future[Any] = Future()
    _JOBS.get().put(lambda: done.set_result(function(*given)))
    await asyncio.wrap_future(done)


def _wait(work: Callable[[], Coroutine[Any, Any, R]]) -> R:
    """Return the result of the coroutine of `work`, which the loop's thread runs.

    What breaks the wait off, at any moment, cancels it, and waits until it has ended.
    """
    jobs: _Jobs = SimpleQueue()
    tasks = list[asyncio.Task[R]]()

    def begin() -> None:  # in the loop's thread: a wait that is broken off before leaves no coroutine behind
        tasks.append(loop.create_task(work()))
        tasks[0].add_done_callback(lambda _: jobs.put(None))

    def cancel() -> None:
        if not tasks or not tasks[0].cancel():
            jobs.put(None)

    loop = _loop()
    before = _JOBS.set(jobs)
    try:
        loop.call_soon_threadsafe(begin)
        while (job := jobs.get()) is not None:
            job()
    except BaseException:
        loop.call_soon_threadsafe(cancel)
        with suppress(Empty):
            while jobs.get(timeout=_CANCEL_S) is not None:
                pass
        raise
    else:
        return tasks[0].result()
    finally:
        _JOBS.reset(before)


async def _next(values: AsyncGenerator[T, None]) -> T | None:
    return await anext(values, None)


def _loop() -> asyncio.AbstractEventLoop:
    with _STARTS:  # the same loop for threads that ask at one time
        return _started()


@cache
def _started() -> asyncio.AbstractEventLoop:
    """Return the event loop of all clients that block; its thread ends with the process."""
    made: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def run() -> None:
        end = asyncio.Event()
        made.set_result((asyncio.get_running_loop(), end))
        await end.wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),), name=_THREAD, daemon=True)
    thread.start()
    loop, end = made.result()

    def stop() -> None:
        loop.call_soon_threadsafe(end.set)
        thread.join()

    atexit.register(stop)
    return loop


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_STARTS.acquire, after_in_parent=_STARTS.release, after_in_child=_STARTS.release)
    os.register_at_fork(after_in_child=_started.cache_clear)  # its thread is the parent's alone
