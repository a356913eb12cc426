"""Converts a turn's messages to pydantic-ai's form, and its answers back. It sends nothing.

What is the same in every turn (tools, `system`) comes first on the wire, so that providers can cache it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from microclaw.errors import ModelError
from microclaw.events import Usage
from microclaw.models.protocol import (
    AssistantReply,
    Image,
    Message,
    ModelReply,
    ToolCall,
    ToolReturn,
    ToolSpec,
    UserText,
)
from microclaw.operations.next_steps import name_tools
from microclaw.text import encodable
from microclaw.validation import MAX_DEPTH, read_object

if TYPE_CHECKING:
    from pydantic_ai import messages as wire
    from pydantic_ai.tools import ToolDefinition
    from pydantic_ai.usage import RequestUsage

MAX_REPLY_CALLS = 16
MAX_REPLY_CHARS = 64 << 10
MAX_ARGUMENTS_CHARS = 512 << 10  # a program and its JSON quoting
MAX_IMAGE_BYTES = 3 << 20  # Anthropic's limit is 5 MB as base64
IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})  # what both providers take


def history_of(messages: Sequence[Message]) -> list[wire.ModelMessage]:
    """The messages in pydantic-ai's form; neighbours of one side become one message."""
    from pydantic_ai import messages as wire

    history: list[wire.ModelMessage] = []
    for message in messages:
        match message:
            case UserText():
                parts: list[Any] = [wire.UserPromptPart(_content(message))]
            case ToolReturn():
                content = name_tools(message.content) if message.failed else message.content
                # Its content says that it failed; the library would put a failed one as text into JSON of its own.
                parts = [wire.ToolReturnPart(message.name, content, message.call_id)]
            case AssistantReply():
                reply: list[wire.ModelResponsePart] = [wire.TextPart(message.text)] if message.text else []
                reply += [wire.ToolCallPart(c.name, _replayed(c.arguments), c.call_id) for c in message.calls]
                history.append(wire.ModelResponse(reply))
                continue
        last = history[-1] if history else None
        if isinstance(last, wire.ModelRequest):
            last.parts = [*last.parts, *parts]
        else:
            history.append(wire.ModelRequest(parts))
    return history


@lru_cache(maxsize=64)
def tools_of(specs: tuple[ToolSpec, ...]) -> tuple[ToolDefinition, ...]:
    """The tools in pydantic-ai's form, cached because they are the same in every request."""
    from pydantic_ai.tools import ToolDefinition

    return tuple(
        ToolDefinition(
            name=spec.name, parameters_json_schema=json.loads(spec.schema), description=spec.description, strict=False
        )
        for spec in specs
    )


def reply_of(response: wire.ModelResponse, name: str, took_s: float) -> ModelReply:
    """An answer as a ModelReply; raises ModelError if it is too large."""
    from pydantic_ai import messages as wire

    texts, calls = [], []
    for part in response.parts:
        if isinstance(part, wire.TextPart):
            texts.append(encodable(part.content))
        elif isinstance(part, wire.ToolCallPart):
            calls.append(ToolCall(part.tool_call_id, encodable(part.tool_name), _arguments(part)))
    check_size(sum(len(text) for text in texts), MAX_REPLY_CHARS, name)
    check_size(sum(len(call.arguments) for call in calls), MAX_ARGUMENTS_CHARS, name)
    usage = usage_of(response.usage, _cost(response))
    return ModelReply(
        "\n".join(texts),
        tuple(calls[:MAX_REPLY_CALLS]),
        usage,
        _note(usage, took_s),
        model=name,
        cut=response.finish_reason == "length",
    )


def check_size(size: int, limit: int, name: str) -> None:
    if size > limit:
        raise ModelError(
            f"{name} sent {size:,} characters where at most {limit:,} are read",
            next_step="ask for less at once, or choose another model with MICROCLAW_MODEL",
            fault="unreadable",
        )


def usage_of(reported: RequestUsage, cost_usd: float | None) -> Usage:
    """The tokens that a server reports; a negative number counts as 0."""
    return Usage(
        max(0, reported.input_tokens), max(0, reported.output_tokens), cost_usd, max(0, reported.cache_read_tokens)
    )


def _content(message: UserText) -> Any:
    """Text and pictures; a picture that no provider accepts is described in words."""
    if not message.images:
        return message.text
    return [*map(_picture, message.images), message.text or "(no words, only the picture)"]


def _picture(image: Image) -> Any:
    from pydantic_ai.messages import BinaryContent

    if image.media_type not in IMAGE_TYPES or not 0 < len(image.data) <= MAX_IMAGE_BYTES:
        kind = image.media_type if image.media_type.isprintable() and len(image.media_type) < 60 else "another form"
        return f"(a picture came that cannot be shown to you: {kind}, {len(image.data):,} bytes)"
    return BinaryContent(image.data, media_type=image.media_type)


def _replayed(arguments: str) -> dict[str, Any]:
    """A call's arguments as an object: APIs refuse a history with the broken JSON that a model wrote."""
    try:
        return read_object(arguments or "{}")
    except ValueError:
        return {"not_json": arguments}


def _arguments(part: wire.ToolCallPart) -> str:
    """A call's arguments as JSON text, which may be broken: the tool tells the model what is wrong with it."""
    if not isinstance(part.args, str):
        try:
            return json.dumps(part.args or {})
        except RecursionError:
            return "[" * (MAX_DEPTH + 1)
    text = encodable(part.args)
    with contextlib.suppress(ValueError):
        decoded = json.dumps(read_object(text), ensure_ascii=False)
        if (clean := encodable(decoded)) != decoded:  # surrogates that were written as escapes
            return clean
    return text


def _cost(response: wire.ModelResponse) -> float | None:
    """Dollars by pydantic-ai's price list, cached tokens at their own price; None for an unknown model."""
    try:
        return float(response.cost().total_price) if response.model_name else None
    except (LookupError, ValueError):
        return None


def _note(usage: Usage, took_s: float) -> str:
    cached = f" ({usage.cached_tokens} cached)" if usage.cached_tokens else ""
    cost = "" if usage.cost_usd is None else f", ${usage.cost_usd:.3f}"
    return f"{took_s:.1f} s, {usage.input_tokens + usage.output_tokens} tokens{cached}{cost}"
