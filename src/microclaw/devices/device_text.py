"""The texts that a device chose, and who reads them: a turn that reads one asks before it acts (docs/decisions/0015).

`Device.call` notes them, whatever becomes of the answer or the error on its way; the toolbox fences them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from microclaw.devices.calls import AppEntry, AppState, DeviceFacts
from microclaw.errors import MicroclawError
from microclaw.text import clean_text

MAX_ERROR_CHARS: Final = 400
_WORD: Final = re.compile(r"[A-Za-z0-9_.:+/-]{1,40}")  # a version, a state, a path: no sentence
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")
_TRAP: Final = re.compile(  # what WAMR says of a trap; a program's own words can be in any other
    r"(?:Exception: )?(?:unreachable|out of bounds (?:memory|table) access|integer (?:divide by zero|overflow)|"
    r"(?:undefined|uninitialized) element|indirect call type mismatch|wasm (?:operand|auxiliary) stack overflow|"
    r"native stack overflow|allocate memory failed|invalid conversion to integer)"
)
_heard: ContextVar[list[str] | None] = ContextVar("device_texts", default=None)


@contextmanager
def listening() -> Iterator[list[str]]:
    """Inside, this task and those that it starts note here every text that a device chose."""
    heard: list[str] = []
    token = _heard.set(heard)
    try:
        yield heard
    finally:
        _heard.reset(token)


def note_error(error: MicroclawError) -> None:
    """Clean and cut an error that quotes a device, and note it."""
    if error.foreign:
        error.message = clean_text(error.message, one_line=True, limit=MAX_ERROR_CHARS)
        _note((error.message,))


def note_answer(answer: object, sensors: Collection[str]) -> None:
    """Note what of an answer is text of the device's own. `sensors`: names that a board profile has."""
    match answer:
        case DeviceFacts(values=values):
            texts = (value for value in values.values() if isinstance(value, str) and not _is_list(value, sensors))
            _note((*(key for key in values if not _NAME.fullmatch(key)), *texts))
        case tuple():
            for row in answer:
                if isinstance(row, AppEntry | AppState) and not _NAME.fullmatch(row.name):
                    _note((row.name,))
                if isinstance(row, AppState):
                    texts = (text for text in (row.error, row.state) if text)
                    _note(text for text in texts if not (_WORD.fullmatch(text) or _TRAP.fullmatch(text)))
        case _:
            pass


def _note(texts: Iterable[str]) -> None:
    heard = _heard.get()
    if heard is not None:
        heard += texts


def _is_list(text: str, sensors: Collection[str]) -> bool:
    """True if a text is a word, or a list of the board's sensors."""
    return not text or bool(_WORD.fullmatch(text)) or set(text.split(", ")) <= set(sensors)
