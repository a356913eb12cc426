"""OpenAI's chat model without the SDK's slow walk over messages. A module of its own: its import takes seconds.

The SDK compares each message with every possible form of a message, which changes nothing in chat completions but takes
0.15 ms: 400 messages would block the event loop for 60 ms. Here pydantic-ai maps the messages as usual, and they are
sent in the extra body, which the SDK does not walk over.
"""

from __future__ import annotations

from collections.abc import Sequence

from openai.types.chat import ChatCompletionMessageParam
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.settings import ModelSettings


class ReadyMessagesModel(OpenAIChatModel):
    async def _map_messages(
        self,
        messages: Sequence[ModelMessage],
        model_request_parameters: ModelRequestParameters,
        *,
        model_settings: ModelSettings | None = None,
    ) -> list[ChatCompletionMessageParam]:
        mapped = await super()._map_messages(messages, model_request_parameters, model_settings=model_settings)
        if model_settings is None:
            return mapped
        extra = model_settings.get("extra_body")
        model_settings["extra_body"] = {**(extra if isinstance(extra, dict) else {}), "messages": mapped}
        return []
