"""Waiting for each other: events, locks, several tasks at once, and no longer than so long."""

from . import core


class _Flag:
    def __init__(self):
        self._is_set = False
        self._waiting = core.TaskQueue()

    def set(self):
        self._is_set = True
        while self._waiting.peek():
            core._task_queue.push(self._waiting.pop())

    def clear(self):
        self._is_set = False


class Event(_Flag):
    def is_set(self):
        return self._is_set

    async def wait(self):
        if not self._is_set:
            await _Queued(self._waiting)
        return True


class ThreadSafeFlag(_Flag):
    """May be set in a handler of an interrupt; `wait` clears it. One task waits at a time."""

    async def wait(self):
        if not self._is_set:
            await _Queued(self._waiting)
        self._is_set = False


class Lock:
    """Handed on in the order in which it was asked for: `_next` is the task that has it before it runs again."""

    def __init__(self):
        self._is_locked = False
        self._next = None
        self._waiting = core.TaskQueue()

    def locked(self):
        return self._is_locked

    async def acquire(self):
        if self._is_locked:
            me = core.cur_task
            try:
                await _Queued(self._waiting)
            except core.CancelledError:
                if self._next is me:
                    self._hand_on()
                raise
            self._next = None
        self._is_locked = True
        return True

    def release(self):
        if not self._is_locked or self._next is not None:
            raise RuntimeError("Lock not acquired")
        self._hand_on()

    def _hand_on(self):
        self._next = self._waiting.pop() if self._waiting.peek() else None
        self._is_locked = self._next is not None
        if self._next is not None:
            core._task_queue.push(self._next)

    async def __aenter__(self):
        await self.acquire()

    async def __aexit__(self, kind, exc, trace):
        self.release()


class _Queued:
    """Awaited once: the task goes to that queue, from which `cancel` can take it (its `data`)."""

    def __init__(self, queue):
        self._queue = queue

    def __iter__(self):
        return self

    def __next__(self):
        queue, self._queue = self._queue, None
        if queue is None:
            raise StopIteration
        queue.push(core.cur_task)
        core.cur_task.data = queue


async def wait_for(aw, timeout):
    return await (aw if timeout is None else wait_for_ms(aw, int(timeout * 1000)))


async def wait_for_ms(aw, timeout):
    task = core.as_task(aw)
    has_expired = []
    timer = core.create_task(_expire(task, timeout, has_expired))
    try:
        value = await task
    except core.CancelledError:
        if not has_expired:
            raise
        value = None
    finally:
        timer.cancel()
    if has_expired:
        raise core.TimeoutError
    return value


async def _expire(task, ms, has_expired):
    await core.sleep_ms(ms)
    if not task.done():
        has_expired.append(True)
        task.cancel()


async def gather(*aws, return_exceptions=False):
    tasks = [core.as_task(aw) for aw in aws]
    results = [None] * len(tasks)
    left = len(tasks)
    failure = None
    over = Event()

    async def watch(index, task):
        nonlocal left, failure
        try:
            results[index] = await task
        except (core.CancelledError, Exception) as exc:
            results[index] = exc
            if failure is None:
                failure = exc
        left -= 1
        if not left or (failure is not None and not return_exceptions):
            over.set()

    for index, task in enumerate(tasks):
        core.create_task(watch(index, task))
    if tasks:
        try:
            await over.wait()
        except core.CancelledError:
            for task in tasks:
                if not task.done():
                    task.cancel()
            raise
    if failure is not None and not return_exceptions:
        raise failure
    return results
