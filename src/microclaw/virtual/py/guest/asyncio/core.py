"""The event loop, on the image's C Task and TaskQueue. When no task can run it tells the board until when.

What the C code expects of this module: `cur_task`, `_task_queue` and `CancelledError`. Of a task `state` is True while
it runs, a queue when somebody waits for it, None when it ended unheard, False when it ended and was heard; `data` is
what is to be thrown into it, and its result when it has ended.
"""

import sys
from _asyncio import Task, TaskQueue
from time import ticks_add, ticks_diff
from time import ticks_ms as ticks

import _board
from memory import is_due


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
        due, self.due = self.due, None
        _task_queue.push(cur_task, due)


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
    return awaitable if isinstance(awaitable, Task) else create_task(awaitable)


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
    waiting, task.state = task.state, False
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
