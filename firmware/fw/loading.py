"""A program in memory: its module's names, its state, and what its exceptions come to as text."""

import io
import os
import sys

from errors import CallError
from micropython import const

_MAX_REASON = const(600)
# What must be left once a module is read in: the link goes on beside it, and small holes are free memory, too.
LEFT_BYTES = const(3_072)


class Program:
    """One start of a program until its end; a crashed one is started again as the same Program."""

    def __init__(self, name):
        self.name = name
        self.state = "running"
        self.error = None
        self.env = None
        # The task of main; None once it has ended and been cleaned up.
        self.main = None
        # The module's names.
        self.space = None
        # Bytes of memory.
        self.claim = 0
        self.started_ms = self.crashes = 0
        # Ends in a row for the board's memory.
        self.squeezes = 0
        # Starts again in a row that it asked for, each soon after the one before.
        self.resets = 0
        # The task that starts it again.
        self.restart = None
        # intervals.Times, of one that runs at an interval or for a time.
        self.times = None
        self.doomed_ms = None
        # Its main is over, and what follows from that is under way.
        self.is_ending = False
        # app.crash is reported once a run.
        self.is_told = False


def room_for(path):
    """Return the bytes that must be free before the .mpy at `path` is read in: else the heap grows meanwhile."""
    try:
        size = os.stat(path)[6]
    except OSError:
        # In the image it has no file, and takes little.
        size = 0
    return LEFT_BYTES + size + size // 4


def load(folder, slot):
    """Return the module's names; CallError if this MicroPython cannot run it."""
    sys.path.insert(0, folder)
    try:
        space = __import__(slot).__dict__
        if "main" not in space:
            raise CallError("invalid_module", "the program has no main")
        return space
    except CallError:
        raise
    except MemoryError as exc:
        raise CallError("failed", "no memory to load the program: %s" % exc)
    except BaseException as exc:
        # Also SystemExit, which would end the firmware at each boot.
        raise CallError("invalid_module", "the program cannot be loaded: " + reason(exc).split("\n")[-1])
    finally:
        sys.path.pop(0)
        sys.modules.pop(slot, None)


def reason(exc):
    """Return the traceback, only its end if it is long.

    File and line are as compiled; the host maps them to the source.
    """
    try:
        text = io.StringIO()
        sys.print_exception(exc, text)
        return text.getvalue().strip()[-_MAX_REASON:]
    except BaseException:
        # There is no memory for it, or a `__str__` of the program raises.
        if isinstance(exc, MemoryError):
            return "MemoryError: not enough memory"
        return type(exc).__name__
