"""The loop of a process that recognises speech beside the host: a question with audio in, an answer out.

A library of speech holds the interpreter's lock, or crashes, or hangs: so it has a process of its own. Once its models
are loaded the process can open no file and no socket any more. It holds no engine.
"""

from __future__ import annotations

import json
import os
import resource
import struct
import sys
from collections.abc import Callable
from typing import Any, Final

QUESTION: Final = struct.Struct("<II")
"""The sizes of its JSON and of the audio behind it."""
ANSWER: Final = struct.Struct("<I")
"""The size of its JSON."""
MEMORY_LIMIT_BYTES: Final = 1 << 30
Hear = Callable[[dict[str, Any], bytes], dict[str, Any]]
"""Answers a question about an utterance."""


def question(asked: object, pcm: bytes) -> bytes:
    body = json.dumps(asked).encode()
    return QUESTION.pack(len(body), len(pcm)) + body + pcm


def work(open_ears: Callable[[dict[str, Any]], Hear], memory_bytes: int = MEMORY_LIMIT_BYTES) -> None:
    """Serve on standard input and output until the input ends. The first question opens the ears."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    hear: Hear | None = None
    while len(head := sys.stdin.buffer.read(QUESTION.size)) == QUESTION.size:
        body_bytes, pcm_bytes = QUESTION.unpack(head)
        asked, pcm = json.loads(sys.stdin.buffer.read(body_bytes)), sys.stdin.buffer.read(pcm_bytes)
        if hear is None:
            hear, answer = open_ears(asked), dict[str, Any]()
            _confine(memory_bytes)
        else:
            answer = hear(asked, pcm)
        text = json.dumps(answer).encode()
        answers.write(ANSWER.pack(len(text)) + text)
        answers.flush()


def _confine(memory_bytes: int) -> None:
    """No new file, socket or process from here on, and an end to memory."""
    for kind, limit in (
        (resource.RLIMIT_NOFILE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_DATA, memory_bytes),
    ):
        resource.setrlimit(kind, (limit, limit))
