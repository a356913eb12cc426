"""Chat completions whose messages go past the SDK's walk over them. Imported when the first model is made.

The SDK compares each message of a request with every form that a message may have, which renames nothing in chat
completions: 0.15 ms a message, so that 400 of them would hold the event loop for 60 ms. pydantic-ai maps them as
ever; they go out in the extra body, which the SDK puts over its own as it is.
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
