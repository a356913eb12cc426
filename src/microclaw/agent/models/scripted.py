"""The language model for tests: answers from a list and keeps its requests. It understands nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from microclaw.agent.models.protocol import ModelReply, ModelRequest, OnText, ToolCall
from microclaw.errors import ModelError
from microclaw.events import Usage

Scripted: TypeAlias = ModelReply | Exception | Callable[[ModelRequest], ModelReply]


class ScriptedModel:
    """Replies in order: a reply, an exception to raise, or a function of the request; `requests` keeps what came."""

    name = "scripted"

    def __init__(self, replies: Iterable[Scripted]) -> None:
        self._replies = list(replies)
        self.requests: list[ModelRequest] = []

    async def warm_up(self) -> None:
        pass

    async def aclose(self) -> None:
        pass

    async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        """Return the next reply and pass on its text word by word. Raises ModelError if the script is over."""
        self.requests.append(request)
        if not self._replies:
            raise ModelError(f"the script ended after {len(self.requests) - 1} replies", next_step="add a reply to it")
        reply = self._replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        if callable(reply):
            answer = reply(request)
        else:
            answer = reply
        if on_text is not None and answer.text:
            for piece in re.findall(r"\S*\s*", answer.text):
                on_text(piece)
        return answer


def say(text: str, *, usage: Usage = Usage()) -> ModelReply:
    """Build a reply in words."""
    return ModelReply(text, usage=usage)


def call(tool: str, arguments: str | None = None, /, *, call_id: str = "call-1", **values: Any) -> ModelReply:
    """Build a reply that calls one tool, with values or with arguments as raw text."""
    return ModelReply("", (ToolCall(call_id, tool, json.dumps(values) if arguments is None else arguments),))
