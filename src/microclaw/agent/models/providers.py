"""Language models over HTTP, through pydantic-ai's direct request API. Imported late; retries nothing.

The SDKs' retries are off: a turn has its own limits, and a person waits. Only this module, provider_wire.py and
provider_errors.py know pydantic-ai.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import importlib
import logging
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar

from microclaw.agent.models.protocol import ModelReply, ModelRequest, OnText
from microclaw.agent.models.provider_errors import cleaned, cut_off, shown_address, translated
from microclaw.agent.models.provider_wire import (
    MAX_REPLY_CHARS,
    check_size,
    history_of,
    newest_with_images,
    raw_text,
    reply_of,
    tools_of,
)
from microclaw.agent.models.reply_text import OPENS_IN_THOUGHT, VisiblePieces, has_lone_end
from microclaw.agent.models.server_window import first_chat_model, model_rows
from microclaw.agent.models.vision import openai_sees, server_sees
from microclaw.errors import ModelError, error_below
from microclaw.host.config.settings import Provider
from microclaw.text import encodable

if TYPE_CHECKING:
    import httpx2
    from pydantic_ai import messages as wire
    from pydantic_ai.models import Model as ProviderModel

_log = logging.getLogger(__name__)

# The longest silence.
REQUEST_TIMEOUT_S = 90.0
# The longest time of an answer that keeps arriving, after the first silence.
MAX_ANSWER_S = 600.0
CONNECT_TIMEOUT_S = 10.0
# Their debug logs hold prompts and addresses.
_TALKATIVE = ("anthropic", "openai", "google_genai", "httpx2", "httpcore2")
_GOOGLE = "https://generativelanguage.googleapis.com"
# What the libraries raise when a 200 answer is JSON of another kind.
_OF_ANOTHER_KIND = (ValueError, TypeError, AttributeError, LookupError, RecursionError, AssertionError)
# Compatible servers often need no key, but the SDK needs one.
_NO_KEY = "not-needed"


class _DirectModel:
    """The common part of all providers: the request, and its errors as ModelError."""

    provider: Provider
    # The module with its model class.
    library: ClassVar[str]
    # The settings that switch prompt caching on.
    caching: ClassVar[dict[str, Any]] = {}

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
        self._is_opened_in_thought = OPENS_IN_THOUGHT.search(name or "") is not None

    @property
    def _origin(self) -> str:
        """A mark of the model at its address: what it gives goes back to no other one. It holds no password."""
        return hashlib.sha256(f"{self.provider} {self._base_url} {self.name}".encode()).hexdigest()

    @property
    def name(self) -> str:
        return self._name or "the server's model"

    async def warm_up(self) -> None:
        """Import the provider's libraries, seconds of work, in a thread."""
        try:
            await asyncio.to_thread(_import_library, self.library)
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
        model_settings = {
            "timeout": self._time_limits(),
            "request_timeout": self._timeout_s + MAX_ANSWER_S,
            **self.caching,
        }
        if not request.may_call:
            model_settings["tool_choice"] = "none"
        if request.max_tokens is not None:
            model_settings["max_tokens"] = request.max_tokens
        sees = newest_with_images(request.messages) is not None and await self._sees()
        try:
            arguments: dict[str, Any] = {
                "model": model,
                "messages": history_of(request.messages, self._origin, sees=sees),
                "model_settings": model_settings,
                "model_request_parameters": ModelRequestParameters(
                    function_tools=list(tools_of(request.tools)), instruction_parts=self._instructions(request)
                ),
            }
            response = await (model_request(**arguments) if on_text is None else self._stream(arguments, on_text))
        except (AgentRunError, UserError, *_OF_ANOTHER_KIND) as exc:
            raise translated(exc, self.name, self.provider, self._api_key) from exc
        if has_lone_end(raw_text(response)):
            self._is_opened_in_thought = True
        return reply_of(response, self.name, self._origin, time.perf_counter() - began)

    async def _sees(self) -> bool:
        """Return True if the model takes pictures: all of Anthropic's and Google's models for chats do."""
        return True

    def _time_limits(self) -> httpx2.Timeout | float:
        """Return how long its service may be silent, and how long connecting may take."""
        import httpx2

        return httpx2.Timeout(self._timeout_s, connect=CONNECT_TIMEOUT_S)

    async def _stream(self, arguments: dict[str, Any], on_text: OnText) -> wire.ModelResponse:
        """Return the whole answer; its text without thoughts goes to `on_text` in pieces as it comes."""
        from pydantic_ai.direct import model_request_stream
        from pydantic_ai.messages import PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta, ThinkingPart

        size = 0
        visible = VisiblePieces(self._is_opened_in_thought)

        def pass_on(text: str) -> None:
            nonlocal size
            size += len(text)
            check_size(size, MAX_REPLY_CHARS, self.name)
            shown = visible.add(text)
            if shown:
                on_text(encodable(shown))

        async with model_request_stream(**arguments) as stream:
            async for event in stream:
                match event:
                    case PartStartEvent(part=ThinkingPart()):
                        visible.begins_visible()
                    case PartStartEvent(part=TextPart(content=text)):
                        # A further part of the text begins on a new line.
                        pass_on(f"\n{text}" if size else text)
                    case PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
                        pass_on(text)
            if stream.finish_reason is None:
                raise cut_off(self.name, self.provider)
            rest = visible.end()
            if rest:
                on_text(encodable(rest))
            return stream.get()

    def _instructions(self, request: ModelRequest) -> list[wire.InstructionPart]:
        """Return one message, as many chat templates take only one. Its start never changes, so it can be cached."""
        from pydantic_ai.messages import InstructionPart

        text = "\n\n".join(part for part in (request.system, request.dynamic_context) if part)
        if text:
            return [InstructionPart(text)]
        return []

    async def _ready(self) -> ProviderModel:
        """Return the provider's model, which is built at the first request."""
        async with self._building:
            if self._model is None:
                await self.warm_up()
                self._model = await self._build()
            return self._model

    async def _build(self) -> ProviderModel:
        raise NotImplementedError

    def _sdk(self, kind: Any, api_key: str) -> Any:
        return kind(
            api_key=api_key,
            base_url=self._base_url,
            max_retries=0,
            timeout=self._timeout_s,
            http_client=self._http_client(self._base_url),
        )

    def _http_client(self, address: str | None) -> httpx2.AsyncClient:
        """Build a client for one address whose answers are bounded and checked."""
        from microclaw.agent.models.answer_check import check_answer
        from microclaw.agent.models.bounded_http import bounded_client

        client = bounded_client(proxy=self._proxy, base_url=address)
        client.event_hooks["response"].append(check_answer)
        return client


class AnthropicProviderModel(_DirectModel):
    """Claude through Anthropic's Messages API. Tools and `system` are cached, `dynamic_context` comes after."""

    provider = "anthropic"
    library = "pydantic_ai.models.anthropic"
    caching: ClassVar = {"anthropic_cache_instructions": True, "anthropic_cache_tool_definitions": True}

    async def _build(self) -> ProviderModel:
        from anthropic import AsyncAnthropic
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        # None would mean the environment's key.
        self._client = self._sdk(AsyncAnthropic, self._api_key or "")
        return AnthropicModel(self.name, provider=AnthropicProvider(anthropic_client=self._client))

    def _instructions(self, request: ModelRequest) -> list[wire.InstructionPart]:
        """Return a block for each part; the dynamic block is not cached."""
        from pydantic_ai.messages import InstructionPart

        if request.system:
            parts = [InstructionPart(request.system)]
        else:
            parts = []
        if request.dynamic_context:
            return [*parts, InstructionPart(request.dynamic_context, dynamic=True)]
        return parts


class OpenAIProviderModel(_DirectModel):
    """OpenAI's chat completions, or any server that speaks them (Ollama, llama.cpp, vLLM, LM Studio, ...)."""

    provider = "openai"
    library = "microclaw.agent.models.dialects"
    # None: its server was not asked.
    _is_seeing: bool | None = None

    async def _build(self) -> ProviderModel:
        from openai import AsyncOpenAI

        from microclaw.agent.models.dialects import chat_model

        if self._client is None:
            self._client = self._sdk(AsyncOpenAI, self._api_key or _NO_KEY)
        if self._name is None:
            self._name = await self._first_model()
        return chat_model(self._name, self._client, self._base_url)

    async def _sees(self) -> bool:
        """Return True if the model takes pictures: by its name at OpenAI, else as its server says, asked once."""
        if self._base_url is None:
            return openai_sees(self.name)
        if self._is_seeing is None:
            self._is_seeing = await server_sees(self._base_url, self.name, api_key=self._api_key, proxy=self._proxy)
        return self._is_seeing

    async def _first_model(self) -> str:
        """Return the server's first model for chats. Raises ModelError if it lists none."""
        from openai import OpenAIError

        from microclaw.agent.models.bounded_http import UnreadableAnswer

        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                document = await self._client.get("/models", cast_to=object)
        except (OpenAIError, TimeoutError, *_OF_ANOTHER_KIND) as exc:
            strange = error_below(exc, UnreadableAnswer)
            words = cleaned(str(strange or exc), self._api_key)
            raise ModelError(
                f"{shown_address(self._base_url)} does not list its models: {words}",
                next_step="check OPENAI_BASE_URL (Ollama: http://localhost:11434/v1), or name one in MICROCLAW_MODEL",
                fault="unreachable" if strange is None else "unreadable",
            ) from exc
        listed = model_rows(document)
        name = first_chat_model(listed)
        if name is None:
            raise ModelError(
                f"{shown_address(self._base_url)} has no model for chats among its {len(listed)}",
                next_step="load one there (ollama pull qwen3), then ask again",
            )
        _log.info("model.name is not set: %s answers, of %d models", name, len(listed))
        return name


class GoogleProviderModel(_DirectModel):
    """Gemini through Google's own API."""

    provider = "google"
    library = "pydantic_ai.models.google"

    def _time_limits(self) -> float:
        """Return seconds: Google's library takes one number."""
        return self._timeout_s

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def _build(self) -> ProviderModel:
        from httpx2 import Timeout
        from pydantic_ai.models.google import GoogleModel
        from pydantic_ai.providers.google import GoogleProvider

        # None would mean the environment's address.
        address = self._base_url or _GOOGLE
        self._client = self._http_client(address)
        self._client.timeout = Timeout(self._timeout_s)
        provider = GoogleProvider(api_key=self._api_key or _NO_KEY, base_url=address, http_client=self._client)
        return GoogleModel(self.name, provider=provider)


def _import_library(name: str) -> None:
    is_first = "pydantic_ai.direct" not in sys.modules
    import pydantic_ai.direct  # noqa: F401

    importlib.import_module(name)
    for logger in _TALKATIVE:
        logging.getLogger(logger).setLevel(logging.WARNING)
    if is_first:
        # The libraries stay loaded: a full garbage collection over them takes 130 ms and finds nothing.
        gc.freeze()
