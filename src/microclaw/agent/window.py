"""A model's window: what of a request fits in, and what a server's refusal teaches of its size. It asks no model.

What goes first: the oldest exchanges (their summary last), then the parts of the dynamic context that are not about
devices, then long results of the turn's own calls, the oldest first. The person's message and the rules stay whole.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from microclaw.agent.compaction import is_summary
from microclaw.models.budget import messages_tokens, request_tokens, tokens
from microclaw.models.protocol import Message, ModelRequest, ToolReturn, UserText

DEFAULT_CONTEXT_TOKENS: Final = 24_000
_ANSWER_SHARE: Final = 4  # at most a quarter of the window is kept for the answer
_LEAST_ANSWER: Final = 256
_LEAST_WINDOW: Final = 1000
LEAST_TOKENS: Final = 600  # for messages: our estimate may be wrong, so a short question is always sent
FORGOTTEN_AFTER_S: Final = 3600.0  # the server may have been started again with a larger window
_SHRINK: Final = 0.5  # of what was refused
_SHORT_RESULT_CHARS: Final = 600
_KEPT_PARTS: Final = ("Devices", "Now")  # titles of agent.context


class Window:
    """`tokens` is the setting `context_tokens`, or less for an hour after a server refused a request as too long.

    It is kept in memory alone: a host that starts, with another model or address, begins with the setting.
    """

    def __init__(
        self, context_tokens: int = DEFAULT_CONTEXT_TOKENS, *, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.configured_tokens = context_tokens
        self._now_s = now_s
        self._learned_tokens = context_tokens
        self._until_s = -math.inf

    @property
    def tokens(self) -> int:
        return self._learned_tokens if self.retry_in_s else self.configured_tokens

    @property
    def retry_in_s(self) -> float:
        """The time until requests of the configured size are sent again; 0 when they are."""
        return max(0.0, self._until_s - self._now_s())

    def refused(self, request: ModelRequest) -> None:
        """A server refused this request as too long. The window that it names is not read: the next try is shorter."""
        estimate = request_tokens(request) + request.max_tokens
        self._learned_tokens = max(_LEAST_WINDOW, min(int(estimate * _SHRINK), self.tokens))
        self._until_s = self._now_s() + FORGOTTEN_AFTER_S


def answer_tokens(window_tokens: int, most: int = 4096) -> int:
    """The tokens that an answer may have: many servers refuse a request whose answer might not fit in any more."""
    return min(most, max(_LEAST_ANSWER, window_tokens // _ANSWER_SHARE))


def fitted(request: ModelRequest, older: int, window_tokens: int) -> ModelRequest:
    """The request within the window, or as near as its rules and newest message allow.

    The first `older` messages are of earlier turns; they begin with a person's.
    """
    most = answer_tokens(window_tokens, request.max_tokens)
    before, own = list(request.messages[:older]), list(request.messages[older:])
    summary = before[:2] if before and is_summary(before[0]) else []
    before = before[len(summary) :]
    dynamic = request.dynamic_context
    over = request_tokens(request) + most - window_tokens
    for part in (before, summary):
        while part and over > 0:
            gone = part[: _next_exchange(part)]
            del part[: len(gone)]
            over -= messages_tokens(gone)
    if over > 0:
        over += tokens(lean := _lean(dynamic)) - tokens(dynamic)
        dynamic = lean
    for index, message in enumerate(own):
        if over > 0 and isinstance(message, ToolReturn) and len(message.content) > 2 * _SHORT_RESULT_CHARS:
            own[index] = _shortened(message)
            over -= messages_tokens([message]) - messages_tokens([own[index]])
    return replace(request, messages=(*summary, *before, *own), dynamic_context=dynamic, max_tokens=most)


def _next_exchange(messages: Sequence[Message]) -> int:
    """The place of the second message of a person."""
    later = (index for index, message in enumerate(messages) if index and isinstance(message, UserText))
    return next(later, len(messages))


def _lean(dynamic_context: str) -> str:
    """Only what it says of devices and of the time."""
    parts = dynamic_context.split("\n\n# ")
    return "\n\n# ".join(part for part in parts if part.removeprefix("# ").startswith(_KEPT_PARTS))


def _shortened(message: ToolReturn) -> ToolReturn:
    cut = {"cut": "this result was longer", "begins": message.content[:_SHORT_RESULT_CHARS]}
    return replace(message, content=json.dumps(cut, ensure_ascii=False))
