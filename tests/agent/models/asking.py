"""The requests of the providers' tests: short time-outs, one tool. Holds no test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from microclaw.agent.models.protocol import Message, Model, ModelRequest, ToolSpec, UserText
from microclaw.agent.models.providers import AnthropicProviderModel, OpenAIProviderModel

SCHEMA = '{"type":"object","properties":{"pin":{"type":"integer"}},"required":["pin"],"additionalProperties":false}'
TOOLS = (ToolSpec("gpio-set", "Set a pin.", SCHEMA),)
SECRET = "sk-secret-0123456789"


def anthropic(url: str, timeout_s: float = 10) -> AnthropicProviderModel:
    return AnthropicProviderModel("claude-sonnet-5-5", api_key=SECRET, base_url=url, timeout_s=timeout_s)


def openai(url: str, timeout_s: float = 10, name: str | None = "test-model") -> OpenAIProviderModel:
    return OpenAIProviderModel(name, api_key=SECRET, base_url=f"{url}/v1", timeout_s=timeout_s)


def request(*messages: Message, dynamic_context: str = "") -> ModelRequest:
    return ModelRequest(
        "you are microclaw",
        messages or (UserText("set pin 4 on"),),
        TOOLS,
        max_tokens=4096,
        dynamic_context=dynamic_context,
    )


@asynccontextmanager
async def closing(model: Model) -> AsyncIterator[Model]:
    try:
        yield model
    finally:
        await model.aclose()
