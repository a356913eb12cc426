"""`asyncio` for the virtual board's MicroPython: that of its ports without streams, as there is no network here."""

from . import core
from .core import (
    CancelledError,
    Loop,
    Task,
    TaskQueue,
    TimeoutError,
    create_task,
    current_task,
    get_event_loop,
    new_event_loop,
    run,
    run_until_complete,
    sleep,
    sleep_ms,
)
from .wait import Event, Lock, ThreadSafeFlag, gather, wait_for, wait_for_ms
