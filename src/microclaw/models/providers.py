"""Language models over HTTP, through pydantic-ai's direct request API. The one file that knows it; imported late.

The SDKs' own retries are off: a turn has its own limits, and a person waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from microclaw.errors import ModelError
from microclaw.models.protocol import (
    AssistantReply,
    Message,
    ModelReply,
    ModelRequest,
    OnText,
    ToolCall,
    ToolReturn,
    ToolSpec,
    Usage,
    UserText,
)

if TYPE_CHECKING:
    from pydantic_ai import messages as wire
    from pydantic_ai.models import Model as ProviderModel

REQUEST_TIMEOUT_S = 90.0
CONNECT_TIMEOUT_S = 10.0
MAX_REPLY_CALLS = 16
MAX_REPLY_CHARS = 64 << 10
MAX_ARGUMENTS_CHARS = 512 << 10  # a program and its JSON quoting
_NO_KEY = "not-needed"  # compatible servers often need none, the SDK wants one


class _DirectModel:
    """What both providers share: the request, and its errors as ModelErrors."""

    def __init__(self, name: str | None, timeout_s: float) -> None:
        self._name = name
        self._timeout_s = timeout_s
        self._model: ProviderModel | None = None
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
                next_step="pip install 'microclaw[models]', then start the host again",
            ) from exc

    async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        """One request, no retry; ModelError names the fault and what to do."""
        model = await self._ready()
        from pydantic_ai.direct import model_request
        from pydantic_ai.exceptions import AgentRunError, UserError
        from pydantic_ai.models import ModelRequestParameters
        from pydantic_ai.settings import ModelSettings

        began = time.perf_counter()
        try:
            response = await model_request(
                model,
                _history(request.system, request.messages),
                model_settings=ModelSettings(max_tokens=request.max_tokens, timeout=self._timeout_s),
                model_request_parameters=ModelRequestParameters(function_tools=[_tool(t) for t in request.tools]),
            )
        except (AgentRunError, UserError) as exc:
            raise _translated(exc, self.name) from exc
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as exc:
            # What the libraries raise when a 200 answer is JSON of another kind.
            raise _unreadable(self.name, exc) from exc
        return _reply(response, self.name, time.perf_counter() - began)

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
    """Claude through Anthropic's Messages API."""

    def __init__(
        self, name: str, *, api_key: str, base_url: str | None = None, timeout_s: float = REQUEST_TIMEOUT_S
    ) -> None:
        super().__init__(name, timeout_s)
        self._api_key = api_key
        self._base_url = base_url
        self._client: Any = None

    async def _build(self) -> ProviderModel:
        from anthropic import AsyncAnthropic
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        from microclaw.models.bounded_http import bounded_client

        self._client = AsyncAnthropic(
            api_key=self._api_key,
            base_url=self._base_url,
            max_retries=0,
            timeout=self._timeout_s,
            http_client=bounded_client(),
        )
        return AnthropicModel(self.name, provider=AnthropicProvider(anthropic_client=self._client))

    async def aclose(self) -> None:
        """Close its connections."""
        if self._client is not None:
            await self._client.close()


class OpenAIProviderModel(_DirectModel):
    """OpenAI's chat completions, or any server that speaks them (Ollama, llama.cpp, vLLM, LM Studio, ...)."""

    def __init__(
        self,
        name: str | None,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> None:
        super().__init__(name, timeout_s)
        self._api_key = api_key
        self._base_url = base_url
        self._client: Any = None

    async def _build(self) -> ProviderModel:
        from openai import AsyncOpenAI
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.providers.openai import OpenAIProvider

        from microclaw.models.bounded_http import bounded_client

        if self._client is None:
            self._client = AsyncOpenAI(
                api_key=self._api_key or _NO_KEY,
                base_url=self._base_url,
                max_retries=0,
                timeout=self._timeout_s,
                http_client=bounded_client(),
            )
        if self._name is None:
            self._name = await self._first_model()
        return OpenAIChatModel(self._name, provider=OpenAIProvider(openai_client=self._client))

    async def _first_model(self) -> str:
        from openai import OpenAIError

        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                page = await self._client.models.list()
                names = [str(m.id) for m in page.data]
        except (OpenAIError, TimeoutError, ValueError, TypeError) as exc:
            raise ModelError(
                f"{self._base_url} does not say which models it has: {_first_line(exc)}",
                next_step="check OPENAI_BASE_URL (Ollama: http://localhost:11434/v1), or name one in MICROCLAW_MODEL",
            ) from exc
        if not names:
            raise ModelError(
                f"{self._base_url} has no model", next_step="load one there (ollama pull qwen3), then ask again"
            )
        return names[0]

    async def aclose(self) -> None:
        """Close its connections."""
        if self._client is not None:
            await self._client.close()


def _import_pydantic_ai() -> None:
    import pydantic_ai.direct
    import pydantic_ai.models.anthropic
    import pydantic_ai.models.openai  # noqa: F401


def _history(system: str, messages: Sequence[Message]) -> list[wire.ModelMessage]:
    """A turn's messages in pydantic-ai's form; neighbours of one side become one message."""
    from pydantic_ai import messages as wire

    history: list[wire.ModelMessage] = []
    for message in messages:
        match message:
            case UserText(text):
                parts: list[Any] = [wire.UserPromptPart(text)]
            case ToolReturn():
                outcome: Literal["failed", "success"] = "failed" if message.failed else "success"
                parts = [wire.ToolReturnPart(message.name, message.content, message.call_id, outcome=outcome)]
            case AssistantReply():
                said: list[wire.ModelResponsePart] = [wire.TextPart(message.text)] if message.text else []
                said += [wire.ToolCallPart(c.name, _replayed(c.arguments), c.call_id) for c in message.calls]
                history.append(wire.ModelResponse(said))
                continue
        last = history[-1] if history else None
        if isinstance(last, wire.ModelRequest):
            last.parts = [*last.parts, *parts]
        else:
            history.append(wire.ModelRequest(parts))
    for sent in history:
        if isinstance(sent, wire.ModelRequest):
            sent.instructions = system or None
    return history


def _replayed(arguments: str) -> dict[str, Any]:
    """A call's arguments as an object: APIs refuse a history with the broken JSON that a model wrote."""
    try:
        values = json.loads(arguments or "{}")
    except ValueError:
        values = None
    return values if isinstance(values, dict) else {"not_json": arguments}


def _tool(spec: ToolSpec) -> Any:
    from pydantic_ai.tools import ToolDefinition

    return ToolDefinition(
        name=spec.name, parameters_json_schema=json.loads(spec.schema), description=spec.description, strict=False
    )


def _reply(response: wire.ModelResponse, name: str, took_s: float) -> ModelReply:
    """What of an answer goes on; ModelError when it is larger or nested deeper than anything a model has to say."""
    from pydantic_ai import messages as wire

    texts, calls = [], []
    for part in response.parts:
        if isinstance(part, wire.TextPart):
            texts.append(_encodable(part.content))
        elif isinstance(part, wire.ToolCallPart):
            try:
                arguments = _arguments(part)
            except RecursionError as exc:
                raise _unreadable(name, exc) from exc
            calls.append(ToolCall(part.tool_call_id, _encodable(part.tool_name), arguments))
    for size, limit in (
        (sum(len(text) for text in texts), MAX_REPLY_CHARS),
        (sum(len(call.arguments) for call in calls), MAX_ARGUMENTS_CHARS),
    ):
        if size > limit:
            raise ModelError(
                f"{name} sent {size:,} characters where at most {limit:,} are read",
                next_step="ask for less at once, or choose another model with MICROCLAW_MODEL",
            )
    usage = Usage(response.usage.input_tokens, response.usage.output_tokens, _cost(response))
    cost = "" if usage.cost_usd is None else f", ${usage.cost_usd:.3f}"
    note = f"{took_s:.1f} s, {usage.input_tokens + usage.output_tokens} tokens{cost}"
    return ModelReply("\n".join(texts), tuple(calls[:MAX_REPLY_CALLS]), usage, note)


def _arguments(part: wire.ToolCallPart) -> str:
    """A call's arguments as JSON text, which may be broken; RecursionError for one that nothing could read."""
    if not isinstance(part.args, str):
        return json.dumps(part.args or {})
    text = _encodable(part.args)
    with contextlib.suppress(ValueError):  # a tool's own reader tells the model what is wrong with it
        said = json.dumps(json.loads(text), ensure_ascii=False)
        if (sound := _encodable(said)) != said:  # surrogates that were written as escapes
            return sound
    return text


def _encodable(text: str) -> str:
    """Without lone surrogates, which JSON can carry and UTF-8 cannot."""
    return text.encode(errors="replace").decode()


def _cost(response: wire.ModelResponse) -> float | None:
    """Dollars by the price list that pydantic-ai brings; None for a model it does not know."""
    if not response.model_name:
        return None
    try:
        return float(response.cost().total_price)
    except (LookupError, ValueError):
        return None


def _translated(exc: Exception, name: str) -> ModelError:
    """A provider's error with what to do next."""
    from pydantic_ai.exceptions import (
        ModelAPIError,
        ModelConnectionError,
        ModelHTTPError,
        ModelTimeoutError,
        UnexpectedModelBehavior,
    )

    from microclaw.models.bounded_http import too_large_in

    if isinstance(exc, ModelHTTPError):
        return _http_error(exc.status_code, name, exc)
    if isinstance(exc, ModelTimeoutError):
        return ModelError(f"{name} did not answer in time", next_step="ask again, or choose a faster MICROCLAW_MODEL")
    if (over := too_large_in(exc)) is not None:
        return _unreadable(name, over)
    if isinstance(exc, ModelConnectionError):
        return ModelError(
            f"{name} cannot be reached, or the connection was cut: {_first_line(exc)}",
            next_step="check the network and the address (OPENAI_BASE_URL, ANTHROPIC_BASE_URL), then ask again",
        )
    if isinstance(exc, ModelAPIError | UnexpectedModelBehavior):
        return _unreadable(name, exc)
    return ModelError(f"{name} cannot be used: {_first_line(exc)}", next_step="check MICROCLAW_MODEL and the key")


def _unreadable(name: str, exc: Exception) -> ModelError:
    return ModelError(
        f"{name} sent an answer that cannot be read: {_first_line(exc)}",
        next_step="check that the address is a model's API, or choose another model with MICROCLAW_MODEL",
    )


def _http_error(status: int, name: str, exc: Exception) -> ModelError:
    if status in (401, 403):
        return ModelError(
            f"{name}: the key was refused ({status})", next_step="check ANTHROPIC_API_KEY or OPENAI_API_KEY"
        )
    if status == 404:
        return ModelError(
            f"there is no model {name} at that address (404)", next_step="name another one in MICROCLAW_MODEL"
        )
    if status == 429:
        return ModelError(f"{name}: too many requests, or no credit left (429)", next_step="wait a minute, ask again")
    if status >= 500:
        return ModelError(f"{name}: its service failed ({status})", next_step="ask again in a minute")
    return ModelError(
        f"{name} refused the request ({status}): {_first_line(exc)}",
        next_step="choose a model that can call tools with MICROCLAW_MODEL",
    )


def _first_line(exc: Exception) -> str:
    text = str(exc).strip() or type(exc).__name__
    return text.splitlines()[0][:200]
