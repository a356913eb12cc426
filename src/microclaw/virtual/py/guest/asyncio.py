"""`asyncio` of MicroPython's ports for tasks alone: main.py runs the loop, and there is no network.

It stands on the image's C Task and TaskQueue, and tells the board until when no task can run. The C code expects of it
`cur_task`, `_task_queue` and `CancelledError`. Of a task `state` is True while it runs, a queue when somebody waits for
it, None when it ended unheard, False when it ended and was heard; `data` is what is to be thrown into it, then its
result.
"""

import sys
from _asyncio import Task, TaskQueue
from time import ticks_add, ticks_diff
from time import ticks_ms as ticks

import _board
from memory import is_due

__getattr__ = _board.absent("asyncio", "IOQueue SingletonGenerator StreamReader StreamWriter")


class CancelledError(BaseException):
    pass


class TimeoutError(Exception):
    pass


class _Pause:
    """Awaited once: the task goes to the queue until `due`. One object serves all, as it is used up at once."""

    due = None

    def __iter__(self):
        return self

    def __next__(self):
        if self.due is None:
            raise StopIteration
        due = self.due
        self.due = None
        _task_queue.push(cur_task, due)


core = sys.modules[__name__]  # as the ports name it
_pause = _Pause()
cur_task = None
_task_queue = TaskQueue()
_alive = set()  # a task that waits for an event of its own would be collected: nobody else knows it


def sleep_ms(t):
    _pause.due = ticks_add(ticks(), t if t > 0 else 0)
    return _pause


def sleep(t):
    return sleep_ms(int(t * 1000))


def create_task(coro):
    if not hasattr(coro, "send"):
        raise TypeError("coroutine expected")
    task = Task(coro, globals())
    _alive.add(task)
    _task_queue.push(task)
    return task


def as_task(awaitable):
    if isinstance(awaitable, Task):
        return awaitable
    return create_task(awaitable)


def current_task():
    if cur_task is None:
        raise RuntimeError("no running event loop")
    return cur_task


def turn():
    """Run every task that is due now; stops to collect."""
    global cur_task
    while True:
        task = _task_queue.peek()
        if not task or ticks_diff(task.ph_key, ticks()) > 0:
            break
        task = cur_task = _task_queue.pop()
        thrown = task.data
        try:
            if thrown:
                task.data = None
                task.coro.throw(thrown)
            else:
                task.coro.send(None)
        except (CancelledError, Exception) as exc:
            if task.state is None:  # it ended before, and nobody came to hear why
                task.data = thrown
                Loop.call_exception_handler({"message": "unheard exception", "exception": thrown, "future": task})
            elif task.state:
                _end(task, exc)
        _board.wait(0)
        if is_due():
            break  # what this step left behind is measured before another runs
    cur_task = None


def rest():
    """Wait until the next task is due or an event comes."""
    task = _task_queue.peek()
    _board.wait(max(0, ticks_diff(task.ph_key, ticks())) if task else -1)


def _end(task, exc):
    """Tell those who wait for it. An exception that nobody waits for is thrown once more, to be reported then."""
    _alive.discard(task)
    waiting = task.state
    task.state = False
    if waiting is True:
        task.state = None
        if not isinstance(exc, (CancelledError, StopIteration)):
            _task_queue.push(task)
    else:
        while waiting.peek():
            _task_queue.push(waiting.pop())
    task.data = exc  # last: `push` clears it


class Loop:
    """The one loop, which main.py runs; its functions take no self."""

    _handler = None

    def set_exception_handler(handler):
        Loop._handler = handler

    def get_exception_handler():
        return Loop._handler

    def default_exception_handler(loop, context):
        sys.print_exception(context["exception"])

    def call_exception_handler(context):
        (Loop._handler or Loop.default_exception_handler)(Loop, context)


def get_event_loop():
    return Loop


class _Flag:
    def __init__(self):
        self._is_set = False
        self._waiting = TaskQueue()

    def set(self):
        self._is_set = True
        while self._waiting.peek():
            _task_queue.push(self._waiting.pop())

    def clear(self):
        self._is_set = False

    async def wait(self):
        if not self._is_set:
            await _queued(self._waiting)
        return True


class Event(_Flag):
    def is_set(self):
        return self._is_set


class ThreadSafeFlag(_Flag):
    """May be set in a handler of an interrupt; `wait` clears it. One task waits at a time."""

    async def wait(self):
        await super().wait()
        self._is_set = False


class Lock:
    """Handed on in the order in which it was asked for: `_next` is the task that has it before it runs again."""

    def __init__(self):
        self._is_locked = False
        self._next = None
        self._waiting = TaskQueue()

    def locked(self):
        return self._is_locked

    async def acquire(self):
        if self._is_locked:
            me = cur_task
            try:
                await _queued(self._waiting)
            except CancelledError:
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
        if self._waiting.peek():
            self._next = self._waiting.pop()
        else:
            self._next = None
        self._is_locked = self._next is not None
        if self._next is not None:
            _task_queue.push(self._next)

    async def __aenter__(self):
        await self.acquire()

    async def __aexit__(self, kind, exc, trace):
        self.release()


def _queued(queue):
    """Awaited: the task goes to that queue, from which `cancel` can take it (its `data`)."""
    queue.push(cur_task)
    cur_task.data = queue
    yield


async def wait_for(aw, timeout):
    return await (aw if timeout is None else wait_for_ms(aw, int(timeout * 1000)))


async def wait_for_ms(aw, timeout):
    task = as_task(aw)
    has_expired = []
    timer = create_task(_expire(task, timeout, has_expired))
    try:
        value = await task
    except CancelledError:
        if not has_expired:
            raise
        value = None
    finally:
        timer.cancel()
    if has_expired:
        raise TimeoutError
    return value


async def _expire(task, ms, has_expired):
    await sleep_ms(ms)
    if not task.done():
        has_expired.append(True)
        task.cancel()


async def gather(*aws, return_exceptions=False):
    tasks = [as_task(aw) for aw in aws]
    results = [None] * len(tasks)
    left = len(tasks)
    failure = None
    over = Event()

    async def watch(index, task):
        nonlocal left, failure
        try:
            results[index] = await task
        except (CancelledError, Exception) as exc:
            results[index] = exc
            if failure is None:
                failure = exc
        left -= 1
        if not left or (failure is not None and not return_exceptions):
            over.set()

    for index, task in enumerate(tasks):
        create_task(watch(index, task))
    if tasks:
        try:
            await over.wait()
        except CancelledError:
            for task in tasks:
                if not task.done():
                    task.cancel()
            raise
    if failure is not None and not return_exceptions:
        raise failure
    return results
