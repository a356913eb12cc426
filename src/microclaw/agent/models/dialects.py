"""Chat completions as compatible servers really send them, for pydantic-ai's model. It sends nothing itself.

OpenRouter and DeepSeek have rules of their own, which pydantic-ai knows. One class is for all others, and for DeepSeek:
Ollama and Gemini give several calls one index, others send arguments as an object, or a call without its id or type.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from openai import AsyncOpenAI
from openai.types import chat
from openai.types.chat import chat_completion_chunk
from pydantic_ai.messages import ModelResponseStreamEvent
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIStreamedResponse
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.deepseek import DeepSeekProvider
from pydantic_ai.providers.openai import OpenAIProvider

_NO_TAGS = ("\0<think>", "\0</think>")
"""Text that no server sends: the library sees a tag only if it is a piece of its own (reply_text.py sees all)."""


def chat_model(name: str, client: AsyncOpenAI, base_url: str | None) -> OpenAIChatModel:
    """Return the model at this address; None is OpenAI's own."""
    profile = OpenAIModelProfile(
        # Without it a cut answer looks complete.
        openai_chat_streaming_requires_finish_reason=True,
        # OpenAI's newer name of the limit; Ollama, LM Studio and DeepSeek know only `max_tokens`.
        openai_chat_supports_max_completion_tokens=base_url is None,
        thinking_tags=_NO_TAGS,
    )
    host = urlsplit(base_url or "").hostname or ""
    if host.endswith("openrouter.ai"):
        from pydantic_ai.models.openrouter import OpenRouterModel
        from pydantic_ai.providers.openrouter import OpenRouterProvider

        return OpenRouterModel(name, provider=OpenRouterProvider(openai_client=client), profile=profile)
    provider: DeepSeekProvider | OpenAIProvider
    if host.endswith("deepseek.com"):
        provider = DeepSeekProvider(openai_client=client)
    else:
        provider = OpenAIProvider(openai_client=client)
    return CompatibleChatModel(name, provider=provider, profile=profile)


class CompatibleChatModel(OpenAIChatModel):
    """OpenAI's model that also reads what compatible servers send."""

    def _validate_completion(self, response: chat.ChatCompletion) -> Any:
        for choice in response.choices:
            for call in choice.message.tool_calls or ():
                _complete_call(call)
        return super()._validate_completion(response)

    @property
    def _streamed_response_cls(self) -> type[OpenAIStreamedResponse]:
        return _CompatibleStream


def _complete_call(call: Any) -> None:
    """Fill in what a server left out of a whole call, and write its arguments as text."""
    call.type = "function"
    call.id = call.id or ""
    if not isinstance(call.function.arguments, str):
        call.function.arguments = json.dumps(call.function.arguments or {})


@dataclass
class _StreamedCall:
    """A call of a stream; `number` is its place among all calls of the answer."""

    number: int
    call_id: str | None
    name: str
    has_arguments: bool = False


@dataclass
class _CompatibleStream(OpenAIStreamedResponse):
    """A stream in which a new id, or a name that comes again, begins a new call, whatever the index says."""

    _calls: dict[int | None, _StreamedCall] = field(default_factory=dict, init=False)
    _call_count: int = field(default=0, init=False)

    def _map_tool_call_delta(self, choice: chat_completion_chunk.Choice) -> Iterable[ModelResponseStreamEvent]:
        for delta in choice.delta.tool_calls or ():
            self._number_call(delta)
        return super()._map_tool_call_delta(choice)

    def _number_call(self, delta: chat_completion_chunk.ChoiceDeltaToolCall) -> None:
        """Give the piece the number of its call, in place of the server's index."""
        function = delta.function
        if function is None:
            name = ""
        else:
            name = function.name or ""
        call = self._calls.get(delta.index)
        if call is None or _begins_call(call, delta.id, name):
            call = _StreamedCall(self._call_count, delta.id, name)
            self._calls[delta.index] = call
            self._call_count += 1
        elif function is not None and name == call.name:
            function.name = None
        else:
            call.name += name
        if function is not None and function.arguments:
            call.has_arguments = True
        delta.index = call.number


def _begins_call(call: _StreamedCall, call_id: str | None, name: str) -> bool:
    """Return True if a piece with this id and name is not of `call`, the last one with its index."""
    if not name:
        return False
    if call_id and call.call_id:
        return call_id != call.call_id
    return name == call.name or call.has_arguments
