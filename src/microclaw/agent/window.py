"""A model's window: what of a request fits in, and what a server's refusal teaches of its size. It asks no model.

What goes first: the oldest exchanges (their summary last), then the parts of the dynamic context that are not about
devices, then long results of the turn's own calls, the oldest first. The person's message and the rules stay whole.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from microclaw.agent.compaction import is_summary, tokens
from microclaw.models.budget import IMAGE_TOKENS, estimated_tokens
from microclaw.models.protocol import Message, ModelRequest, ToolReturn, ToolSpec, UserText

DEFAULT_CONTEXT_TOKENS: Final = 24_000
_ANSWER_SHARE: Final = 4  # at most a quarter of the window is kept for the answer
_LEAST_ANSWER: Final = 256
_LEAST_WINDOW: Final = 1000
_SHRINK: Final = 0.6  # of what was refused, where the server does not say what it takes
_SHORT_RESULT_CHARS: Final = 600
_KEPT_PARTS: Final = ("Devices", "Now")  # titles of agent.context


class Window:
    """`tokens` is the setting `context_tokens`, until a server says that it takes less."""

    def __init__(self, context_tokens: int = DEFAULT_CONTEXT_TOKENS) -> None:
        self.tokens = context_tokens

    def refused(self, request: ModelRequest, window_tokens: int | None) -> None:
        """A server refused this request as too long; `window_tokens` is its window, where it said so.

        Our estimate of the request may be too low: the window becomes smaller than that in any case.
        """
        estimate = estimated_tokens(request, 0)[0] + request.max_tokens
        self.tokens = max(_LEAST_WINDOW, min(int(estimate * _SHRINK), window_tokens or estimate, self.tokens))


def answer_tokens(window_tokens: int, most: int = 4096) -> int:
    """The tokens that an answer may have: many servers refuse a request whose answer might not fit in any more."""
    return min(most, max(_LEAST_ANSWER, window_tokens // _ANSWER_SHARE))


def tools_tokens(tools: Sequence[ToolSpec]) -> int:
    return sum(tokens(tool.name + tool.description + tool.schema) for tool in tools)


def fitted(request: ModelRequest, older: int, window_tokens: int) -> ModelRequest:
    """The request within the window, or as near as its rules and newest message allow.

    The first `older` messages are of earlier turns; they begin with a person's.
    """
    most = answer_tokens(window_tokens, request.max_tokens)
    before, own = list(request.messages[:older]), list(request.messages[older:])
    summary = before[:2] if before and is_summary(before[0]) else []
    before = before[len(summary) :]
    dynamic = request.dynamic_context
    fixed = tokens(request.system) + tools_tokens(request.tools) + most
    over = fixed + tokens(dynamic) + _size([*summary, *before, *own]) - window_tokens
    for part in (before, summary):
        while part and over > 0:
            gone = part[: _next_exchange(part)]
            del part[: len(gone)]
            over -= _size(gone)
    if over > 0:
        over += tokens(lean := _lean(dynamic)) - tokens(dynamic)
        dynamic = lean
    for index, message in enumerate(own):
        if over > 0 and isinstance(message, ToolReturn) and len(message.content) > 2 * _SHORT_RESULT_CHARS:
            own[index] = _shortened(message)
            over -= _size([message]) - _size([own[index]])
    return replace(request, messages=(*summary, *before, *own), dynamic_context=dynamic, max_tokens=most)


def _size(messages: Sequence[Message]) -> int:
    return sum(_tokens_of(message) for message in messages)


def _tokens_of(message: Message) -> int:
    match message:
        case UserText():
            return tokens(message.text) + IMAGE_TOKENS * len(message.images)
        case ToolReturn():
            return tokens(message.content)
        case _:
            return tokens(message.text) + sum(tokens(call.name + call.arguments) for call in message.calls)


def _next_exchange(messages: Sequence[Message]) -> int:
    """Where the second message of a person is."""
    later = (index for index, message in enumerate(messages) if index and isinstance(message, UserText))
    return next(later, len(messages))


def _lean(dynamic_context: str) -> str:
    """Only what it says of devices and of the time."""
    parts = dynamic_context.split("\n\n# ")
    return "\n\n# ".join(part for part in parts if part.removeprefix("# ").startswith(_KEPT_PARTS))


def _shortened(message: ToolReturn) -> ToolReturn:
    cut = {"cut": "this result was longer", "begins": message.content[:_SHORT_RESULT_CHARS]}
    return replace(message, content=json.dumps(cut, ensure_ascii=False))
