"""A trap in plain words, with what to do next: the runtime's own words help nobody who wrote the program."""

from __future__ import annotations

import re
from typing import Final

from microclaw.programs.source_marks import without_marks
from microclaw.tables import read_table
from microclaw.wire.board_replies import NATIVE_FAILED, STACK_FULL

EXCEPTION: Final = "Exception: "
"""How the runtime begins what it says of a trap."""
_EXCEPTION: Final = re.compile(
    rf"(?:{EXCEPTION})?(?P<text>.*?)(?: \((?P<where>line \d+, in .+|{STACK_FULL}.+)\))?", re.DOTALL
)
_STACK: Final = "make large local arrays static, and end the recursion, or loop instead"
_FAULTS: Final = read_table(__package__, "faults")
# What headers/libc/checked_writes.c prints, as verdict.py has it. The compiler makes one writer of another.
_OVERRUN: Final = re.compile(
    r"at line (?P<line>\d+), in .+: (?P<function>\w+) writes (?P<bytes>\d+) bytes, (?P<room>\d+) fit"
)
_WRITER: Final = re.compile(r"\b(?P<function>\w*(?:cpy|cat|sn?printf|memset|memmove))\s*\(\s*(?P<array>[^,()]+?)\s*,")
_OF_ABSENT: Final = (
    r"OSError: (\[Errno )?(19|116)\b|OneWireError\b|(AttributeError|ImportError): .*\b{name}\b"
    r"|(Exception|RuntimeError): .*\b(19|116|ENODEV|ETIMEDOUT)\b"
)
"""ENODEV and ETIMEDOUT of ESP-IDF, as virtual/py/chip.py raises them; the name is one that a module has not.

A driver may raise another exception with that number in its text.
"""
_OF_NETWORK: Final = r"(OSError|MQTTException|TimeoutError|microclaw\.\w+)\b"
"""What a program raises that reaches no host."""
_OF_ANSWER: Final = r"(ValueError|KeyError|IndexError|TypeError|AttributeError|AssertionError|Exception|RuntimeError)\b"
"""What it raises, too, if an answer is not what it expects."""
_ANY_PYTHON: Final = "catch the exception, or correct that line"
_PLACE: Final = re.compile(r'^ *File "([^"]*)", line (\d+), in (.+)$', re.MULTILINE)
TRACEBACK: Final = "Traceback (most recent call last):"
_FRAME: Final = re.compile(r'", line \d+, in .+')
_ANY_TRAP: Final = "look at what the program does first: the trial ran the very bytes that would be installed"
_OURS: Final = "this is a fault of the virtual board, not of the program: report it with the program and its log"
_UNLINKED: Final = re.compile(r"failed to call unlinked import function \(env, ([^)]*)\)")


def trap_words(text: str) -> tuple[str, str]:
    """Return the meaning of a trap with this text of the virtual board or of WAMR, and what to do about it."""
    if is_traceback(text):
        return _exception_words(text)
    match = _EXCEPTION.fullmatch(text)
    assert match is not None
    what = match["text"]
    where = match["where"]
    if where and where.startswith(STACK_FULL):
        return f"its stack is full: {where.removeprefix(STACK_FULL)}", _STACK
    at = ""
    if where:
        at = f" at {where}"
    if what.startswith(NATIVE_FAILED):
        return f"it was ended{at}: {what}", _OURS
    missing = _UNLINKED.search(what)
    if missing:
        step = "use only what microclaw.h and the firmware's headers declare"
        return f"it trapped{at}: the firmware has no function {missing[1]}", step
    for pattern, plain, step in _FAULTS["traps"]:
        if re.search(pattern, what):
            return f"it trapped{at}: {plain}", step
    return f"it trapped{at}: {what or 'the runtime gives no reason'}", _ANY_TRAP


def is_traceback(text: str) -> bool:
    """Return True if this is an exception of a Python program.

    A board sends the end of a long traceback: it may begin in the middle of a frame.
    """
    return text.startswith(TRACEBACK) or _FRAME.search(text) is not None


def is_of_absent_part(text: str, part: str) -> bool:
    """Return True if a part that does not answer raises this exception, or a module that lacks this name."""
    what = text.strip().rpartition("\n")[2]
    name = re.escape(part.rpartition(".")[2])
    return re.match(_OF_ABSENT.format(name=name), what) is not None


def is_of_network(text: str, *, has_answer: bool) -> bool:
    """Return True if a program raises this exception that reaches no host, or gets an answer of no use."""
    what = text.strip().rpartition("\n")[2]
    if re.match(_OF_NETWORK, what):
        return True
    return has_answer and re.match(_OF_ANSWER, what) is not None


def with_array_name(error: str, source: str) -> str:
    """Return the error with the array's name and the function as the source's line writes them.

    The error is unchanged if it is about something else, or if its line has not exactly one call of such a function:
    among two it is not known which of them wrote too much.
    """
    overrun = _OVERRUN.search(error)
    if overrun is None:
        return error
    line = without_marks(source)[0].split("\n")[int(overrun["line"]) - 1]
    calls = list(_WRITER.finditer(line))
    if len(calls) != 1:
        return error
    call = calls[0]
    place = error[: overrun.start("function")]
    return f"{place}{call['function']} writes {overrun['bytes']} bytes, {call['array']} has {overrun['room']}"


def _exception_words(text: str) -> tuple[str, str]:
    """Return the exception that ended a Python program, with its line in the source, and the next step.

    The line is the last of the traceback, with its file if the program has several.
    """
    what = text.strip().rpartition("\n")[2]
    places = _PLACE.findall(text)
    at = ""
    if places:
        file, line, function = places[-1]
        at = f" at line {line}"
        files = {place[0] for place in places}
        if len(files) > 1 or "/" in file:
            at += f" of {file}"
        if function != "<module>":
            at += f", in {function}"
    step = next((step for pattern, step in _FAULTS["python"] if re.match(pattern, what)), _ANY_PYTHON)
    return f"it ended{at}: {what}", step
