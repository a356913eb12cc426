"""The loop of a process that recognises speech beside the host: frames (engine_protocol.py) in, frames out.

A library of speech holds the interpreter's lock, or crashes, or hangs: so it has a process of its own. Once its models
are loaded the process can open no file and no socket any more. It holds no engine.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable
from typing import IO, Any, Final, Protocol

from microclaw.voice.engines.engine_protocol import (
    ABANDON,
    AUDIO,
    BEGIN,
    END,
    FINAL,
    HEADER,
    MAX_BODY_BYTES,
    PARTIAL,
    PAUSE,
    READY,
    SETUP,
    TO_PROCESS,
    header,
    json_body,
    json_frame,
)

MEMORY_LIMIT_BYTES: Final = 1 << 30


class Ears(Protocol):
    """One utterance at a time."""

    def begin(self, asked: dict[str, Any]) -> None: ...

    def hear(self, pcm: bytes) -> None: ...

    def pause(self) -> str:
        """It may be the end: make the answer, and keep it until `hear` says that it was not. The text so far."""

    def finish(self) -> dict[str, Any]:
        """The answer. The utterance is over."""

    def forget(self) -> None: ...


def work(open_ears: Callable[[dict[str, Any]], Ears], memory_bytes: int = MEMORY_LIMIT_BYTES) -> None:
    """Serve on standard input and output until the input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no frame
    serve(sys.stdin.buffer, answers, open_ears, memory_bytes)


def serve(source: IO[bytes], sink: IO[bytes], open_ears: Callable[[dict[str, Any]], Ears], memory_bytes: int) -> None:
    """Serve until the end; input out of order ends the process, and the host replaces it."""
    kind, body = _next(source) or (b"", b"")
    if kind != SETUP:
        return
    ears = open_ears(json_body(body))
    _confine(memory_bytes)
    _send(sink, READY, {})
    while (found := _next(source)) is not None:
        kind, body = found
        if kind == BEGIN:
            ears.begin(json_body(body))
        elif kind == AUDIO:
            ears.hear(body)
        elif kind == PAUSE:
            _send(sink, PARTIAL, {"text": ears.pause()})
        elif kind == END:
            _send(sink, FINAL, ears.finish())
        elif kind == ABANDON:
            ears.forget()
            _send(sink, READY, {})


def _next(source: IO[bytes]) -> tuple[bytes, bytes] | None:
    data = source.read(HEADER.size)
    if len(data) < HEADER.size:
        return None
    kind, size = header(data, TO_PROCESS, MAX_BODY_BYTES)
    return kind, source.read(size)


def _send(sink: IO[bytes], kind: bytes, body: object) -> None:
    sink.write(json_frame(kind, body))
    sink.flush()


def _confine(memory_bytes: int) -> None:
    """No new file, socket or process from here on, and an end to memory."""
    for kind, limit in (
        (resource.RLIMIT_NOFILE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_DATA, memory_bytes),
    ):
        resource.setrlimit(kind, (limit, limit))
