"""Coroutines for programs that block: an event loop in a thread runs them, and the caller waits."""

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
    def wait(self: Any, *args: P.args, **kwargs: P.kwargs) -> R:
        return _wait(lambda: method(self, *args, **kwargs))

    return cast("Callable[Concatenate[Any, P], R]", wait)


def iterated(
    method: Callable[Concatenate[Any, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate[Any, P], Generator[T, None, None]]:
    """Return the method in a form that waits for each value."""

    @wraps(method)
    def iterate(self: Any, *args: P.args, **kwargs: P.kwargs) -> Generator[T, None, None]:
        values = method(self, *args, **kwargs)
        try:
            while (value := _wait(lambda: _next(values))) is not None:
                yield value
        finally:
            if threading.current_thread().name == _THREAD:
                # The garbage collector ran in the loop's own thread, which must not wait for itself.
                _loop().create_task(values.aclose())
            elif not _loop().is_closed():
                _wait(values.aclose)

    return cast("Callable[Concatenate[Any, P], Generator[T, None, None]]", iterate)


async def in_caller(function: Callable[..., Any], *args: Any) -> None:
    """Call a function in the thread that waits for this coroutine; its exception is raised there and ends the wait."""
    result: Future[Any] = Future()
    _JOBS.get().put(lambda: result.set_result(function(*args)))
    await asyncio.wrap_future(result)


def _wait(work: Callable[[], Coroutine[Any, Any, R]]) -> R:
    """Return the result of the coroutine of `work`, which the loop's thread runs.

    An exception in the waiting thread, at any moment, cancels the coroutine and waits until it has ended.
    """
    jobs: _Jobs = SimpleQueue()
    tasks = list[asyncio.Task[R]]()

    # `begin` makes the coroutine in the loop's thread: a wait that ends before leaves no coroutine behind.
    def begin() -> None:
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
    # Threads that start at the same time get the same loop.
    with _STARTS:
        return _start_loop()


@cache
def _start_loop() -> asyncio.AbstractEventLoop:
    """Return the event loop of all clients that block; its thread ends with the process."""
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def run() -> None:
        end = asyncio.Event()
        started.set_result((asyncio.get_running_loop(), end))
        await end.wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),), name=_THREAD, daemon=True)
    thread.start()
    loop, end = started.result()

    def stop() -> None:
        loop.call_soon_threadsafe(end.set)
        thread.join()

    atexit.register(stop)
    return loop


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_STARTS.acquire, after_in_parent=_STARTS.release, after_in_child=_STARTS.release)
    # Only the parent has the loop's thread.
    os.register_at_fork(after_in_child=_start_loop.cache_clear)
