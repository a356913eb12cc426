"""Language models over HTTP, through pydantic-ai's direct request API. Imported late; retries nothing.

The SDKs' retries are off: a turn has its own limits, and a person waits. Only this module, provider_wire.py and
provider_errors.py know pydantic-ai.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import time
from typing import TYPE_CHECKING, Any

from microclaw.config.settings import Provider
from microclaw.errors import ModelError
from microclaw.models.protocol import ModelReply, ModelRequest, OnText
from microclaw.models.provider_errors import cut_off, first_line, shown_address, translated, unreadable
from microclaw.models.provider_wire import MAX_REPLY_CHARS, check_size, history_of, reply_of, tools_of
from microclaw.text import encodable

if TYPE_CHECKING:
    from pydantic_ai import messages as wire
    from pydantic_ai.models import Model as ProviderModel
    from pydantic_ai.settings import ModelSettings

REQUEST_TIMEOUT_S = 90.0  # of silence
MAX_ANSWER_S = 600.0  # of one answer that keeps coming
CONNECT_TIMEOUT_S = 10.0
MIN_KEY_CHARS = 8  # a shorter one is no secret and may be part of normal words
_TALKATIVE = ("anthropic", "openai", "httpx2", "httpcore2")  # their debug logs hold prompts and addresses
_NO_KEY = "not-needed"  # compatible servers often need no key, but the SDK does


class _DirectModel:
    """The common part of both providers: the request, and its errors as ModelError."""

    provider: Provider

    def __init__(
        self,
        name: str | None,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        timeout_s: float = REQUEST_TIMEOUT_S,
        proxy: str | None = None,
    ) -> None:
        self._name = name
        self._api_key = api_key
        self._base_url = base_url
        self._timeout_s = timeout_s
        self._proxy = proxy
        self._model: ProviderModel | None = None
        self._client: Any = None
        self._building = asyncio.Lock()

    @property
    def name(self) -> str:
        return self._name or "the server's model"

    async def warm_up(self) -> None:
        """Import the provider's libraries, seconds of work, in a thread."""
        try:
            await asyncio.to_thread(_import_pydantic_ai)
        except ImportError as exc:
            raise ModelError(
                f"the libraries for {self.name} are not installed: {exc}",
                next_step="install microclaw again with all that it needs (docs/install.md), then start the host again",
            ) from exc

    async def aclose(self) -> None:
        """Close its connections."""
        if self._client is not None:
            await self._client.close()

    async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        """One request, no retry, streamed when someone listens; ModelError names the fault and what to do."""
        model = await self._ready()
        from pydantic_ai.direct import model_request
        from pydantic_ai.exceptions import AgentRunError, UserError
        from pydantic_ai.models import ModelRequestParameters

        began = time.perf_counter()
        try:
            asked: dict[str, Any] = {
                "model": model,
                "messages": history_of(request.messages),
                "model_settings": self._settings(request),
                "model_request_parameters": ModelRequestParameters(
                    function_tools=list(tools_of(request.tools)), instruction_parts=self._instructions(request)
                ),
            }
            response = await (model_request(**asked) if on_text is None else self._streamed(asked, on_text))
        except (AgentRunError, UserError) as exc:
            raise self._without_key(translated(exc, self.name, self.provider)) from exc
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError, AssertionError) as exc:
            # What the libraries raise when a 200 answer is JSON of another kind.
            raise self._without_key(unreadable(self.name, exc)) from exc
        return reply_of(response, self.name, time.perf_counter() - began)

    async def _streamed(self, asked: dict[str, Any], on_text: OnText) -> wire.ModelResponse:
        """The whole answer; its text goes to `on_text` in pieces as it comes."""
        from pydantic_ai.direct import model_request_stream
        from pydantic_ai.messages import PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta

        relay = _TextRelay(on_text, self.name)
        async with model_request_stream(**asked) as stream:
            async for event in stream:
                match event:
                    case PartStartEvent(part=TextPart(content=text)):
                        self._check_open(stream.finish_reason)
                        relay.begin(text)
                    case PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
                        self._check_open(stream.finish_reason)
                        relay.add(text)
            if stream.finish_reason is None:
                raise cut_off(self.name)
            return stream.get()

    def _without_key(self, error: ModelError) -> ModelError:
        """The error without the key, which a server may repeat in its message."""
        if self._api_key and len(self._api_key) >= MIN_KEY_CHARS and self._api_key in error.message:
            error.message = error.message.replace(self._api_key, "(the key)")
            error.args = (error.message,)
        return error

    def _check_open(self, finish_reason: str | None) -> None:
        """Refuse text that comes after the answer's end, which Anthropic tells after the last block."""
        if self.provider == "anthropic" and finish_reason is not None:
            raise unreadable(self.name, "text came after the end of the answer")

    def _settings(self, request: ModelRequest) -> ModelSettings:
        from pydantic_ai.settings import ModelSettings

        return ModelSettings(max_tokens=request.max_tokens, timeout=self._timeout_s, request_timeout=MAX_ANSWER_S)

    def _instructions(self, request: ModelRequest) -> list[wire.InstructionPart]:
        raise NotImplementedError

    async def _ready(self) -> ProviderModel:
        """The provider's model, made at the first request."""
        async with self._building:
            if self._model is None:
                await self.warm_up()
                self._model = await self._build()
            return self._model

    async def _build(self) -> ProviderModel:
        raise NotImplementedError


class AnthropicProviderModel(_DirectModel):
    """Claude through Anthropic's Messages API. Tools and `system` are cached, `dynamic_context` comes after."""

    provider = "anthropic"

    async def _build(self) -> ProviderModel:
        from anthropic import AsyncAnthropic
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        from microclaw.models.bounded_http import bounded_client

        self._client = AsyncAnthropic(
            api_key=self._api_key or "",  # None would be the environment's key
            base_url=self._base_url,
            max_retries=0,
            timeout=self._timeout_s,
            http_client=bounded_client(proxy=self._proxy, base_url=self._base_url),
        )
        return AnthropicModel(self.name, provider=AnthropicProvider(anthropic_client=self._client))

    def _settings(self, request: ModelRequest) -> ModelSettings:
        from pydantic_ai.models.anthropic import AnthropicModelSettings

        return AnthropicModelSettings(
            max_tokens=request.max_tokens,
            timeout=self._timeout_s,
            request_timeout=MAX_ANSWER_S,
            anthropic_cache_instructions=True,
            anthropic_cache_tool_definitions=True,
        )

    def _instructions(self, request: ModelRequest) -> list[wire.InstructionPart]:
        """A block each; what is dynamic stays outside the cached ones."""
        from pydantic_ai.messages import InstructionPart

        parts = [InstructionPart(request.system)] if request.system else []
        return [*parts, InstructionPart(request.dynamic_context, dynamic=True)] if request.dynamic_context else parts


class OpenAIProviderModel(_DirectModel):
    """OpenAI's chat completions, or any server that speaks them (Ollama, llama.cpp, vLLM, LM Studio, ...)."""

    provider = "openai"

    async def _build(self) -> ProviderModel:
        from openai import AsyncOpenAI
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.profiles.openai import OpenAIModelProfile
        from pydantic_ai.providers.openai import OpenAIProvider

        from microclaw.models.bounded_http import bounded_client

        if self._client is None:
            self._client = AsyncOpenAI(
                api_key=self._api_key or _NO_KEY,
                base_url=self._base_url,
                max_retries=0,
                timeout=self._timeout_s,
                http_client=bounded_client(proxy=self._proxy, base_url=self._base_url),
            )
        if self._name is None:
            self._name = await self._first_model()
        return OpenAIChatModel(
            self._name,
            provider=OpenAIProvider(openai_client=self._client),
            profile=OpenAIModelProfile(
                openai_chat_streaming_requires_finish_reason=True
            ),  # else a cut answer looks complete
        )

    def _instructions(self, request: ModelRequest) -> list[wire.InstructionPart]:
        """One message, as many chat templates take only one. Its start is always the same, so it can be cached."""
        from pydantic_ai.messages import InstructionPart

        text = "\n\n".join(part for part in (request.system, request.dynamic_context) if part)
        return [InstructionPart(text)] if text else []

    async def _first_model(self) -> str:
        from openai import OpenAIError

        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                page = await self._client.models.list()
                names = [str(m.id) for m in page.data]
        except (OpenAIError, TimeoutError, ValueError, TypeError) as exc:
            error = ModelError(
                f"{shown_address(self._base_url)} does not say which models it has: {first_line(exc)}",
                next_step="check OPENAI_BASE_URL (Ollama: http://localhost:11434/v1), or name one in MICROCLAW_MODEL",
                fault="unreachable",
            )
            raise self._without_key(error) from exc
        if not names:
            raise ModelError(
                f"{shown_address(self._base_url)} has no model",
                next_step="load one there (ollama pull qwen3), then ask again",
            )
        return names[0]


class _TextRelay:
    """Passes the pieces of an answer's text on, up to the limit of the whole text."""

    def __init__(self, on_text: OnText, name: str) -> None:
        self._on_text = on_text
        self._name = name
        self._size = 0
        self._half = ""  # the first half of a surrogate pair

    def begin(self, text: str) -> None:
        """A further part of the text: the whole has a line break there."""
        self.add(f"\n{text}" if self._size else text)

    def add(self, text: str) -> None:
        text, self._half = self._half + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        if not text:
            return
        self._size += len(text)
        check_size(self._size, MAX_REPLY_CHARS, self._name)
        self._on_text(encodable(text))


def _import_pydantic_ai() -> None:
    is_first = "pydantic_ai.direct" not in sys.modules
    import pydantic_ai.direct
    import pydantic_ai.models.anthropic
    import pydantic_ai.models.openai  # noqa: F401

    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    if is_first:
        gc.freeze()  # the libraries stay loaded: a full collection that walks over them takes 130 ms and finds nothing
