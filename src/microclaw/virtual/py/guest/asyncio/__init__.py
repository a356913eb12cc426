"""`asyncio` of MicroPython's ports for tasks alone: main.py runs the loop, and there is no network."""

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
    sleep,
    sleep_ms,
)
from .wait import Event, Lock, ThreadSafeFlag, gather, wait_for, wait_for_ms
