"""The texts that a device chose, and which task reads them: a turn that reads one asks before it acts (decision 0015).

`Device.call` notes them, whatever becomes of the answer or the error on its way; the toolbox fences them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from microclaw.devices.registry.calls import AppEntry, AppState, DeviceFacts
from microclaw.errors import MicroclawError
from microclaw.text import clean_text

MAX_ERROR_CHARS: Final = 400
# A version, a state or a path: too short and too plain to be a sentence.
_WORD: Final = re.compile(r"[A-Za-z0-9_.:+/-]{1,40}")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")
# WAMR's own messages for a trap. Any other message may hold a program's own words.
_TRAP: Final = re.compile(
    r"(?:Exception: )?(?:unreachable|out of bounds (?:memory|table) access|integer (?:divide by zero|overflow)|"
    r"(?:undefined|uninitialized) element|indirect call type mismatch|wasm (?:operand|auxiliary) stack overflow|"
    r"native stack overflow|allocate memory failed|invalid conversion to integer)"
)
_device_texts: ContextVar[list[str] | None] = ContextVar("device_texts", default=None)


@contextmanager
def collect_device_texts() -> Iterator[list[str]]:
    """Collect every text that a device chose, as long as the block runs, in this task and the tasks it starts."""
    texts: list[str] = []
    token = _device_texts.set(texts)
    try:
        yield texts
    finally:
        _device_texts.reset(token)


def note_error(error: MicroclawError) -> None:
    """Clean and cut an error that quotes a device, and note it."""
    if error.foreign:
        error.message = clean_text(error.message, one_line=True, limit=MAX_ERROR_CHARS)
        _note((error.message,))


def note_answer(answer: object, sensors: Collection[str]) -> None:
    """Note the texts of an answer that the device chose; `sensors` are the names that a board profile has."""
    if isinstance(answer, DeviceFacts):
        _note(_fact_texts(answer.values, sensors))
    elif isinstance(answer, tuple):
        for row in answer:
            _note(_row_texts(row))


def _fact_texts(values: Mapping[str, object], sensors: Collection[str]) -> Iterator[str]:
    for key in values:
        if not _NAME.fullmatch(key):
            yield key
    for value in values.values():
        if isinstance(value, str) and not _is_list(value, sensors):
            yield value


def _row_texts(row: object) -> Iterator[str]:
    """Yield the texts of a program's row that are not the firmware's own words."""
    if isinstance(row, AppEntry | AppState) and not _NAME.fullmatch(row.name):
        yield row.name
    state = row.state if isinstance(row, AppEntry) else row
    if isinstance(state, AppState):
        for text in (state.error, state.state):
            if text and not _WORD.fullmatch(text) and not _TRAP.fullmatch(text):
                yield text


def _note(texts: Iterable[str]) -> None:
    device_texts = _device_texts.get()
    if device_texts is not None:
        device_texts += texts


def _is_list(text: str, sensors: Collection[str]) -> bool:
    """Return True if a text is empty, a word, or a list of the board's sensors."""
    return not text or bool(_WORD.fullmatch(text)) or set(text.split(", ")) <= set(sensors)
