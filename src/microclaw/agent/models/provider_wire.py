"""Converts a turn's messages to pydantic-ai's form, and its answers back. It sends nothing.

What is the same in every turn (tools, `system`) comes first on the wire, so that providers can cache it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from microclaw.agent.models.protocol import (
    AssistantReply,
    ImageInput,
    Message,
    ModelReply,
    ReplyEnd,
    ToolCall,
    ToolReturn,
    ToolSpec,
    UserText,
)
from microclaw.agent.models.reply_text import visible_text
from microclaw.errors import ModelError
from microclaw.events import Usage
from microclaw.host.operations.next_steps import name_tools
from microclaw.host.operations.validation import MAX_DEPTH, read_object
from microclaw.text import encodable

if TYPE_CHECKING:
    from pydantic_ai import messages as wire
    from pydantic_ai.tools import ToolDefinition
    from pydantic_ai.usage import RequestUsage

MAX_REPLY_CALLS = 16
MAX_REPLY_CHARS = 64 << 10
# A program and its JSON quoting.
MAX_ARGUMENTS_CHARS = 512 << 10
# Thoughts and signatures of one reply; a longer reply is sent back in the plain form.
MAX_OPAQUE_CHARS = 512 << 10
# Anthropic's limit is 5 MB as base64.
MAX_IMAGE_BYTES = 3 << 20
# The types that both providers accept.
IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})


def history_of(messages: Sequence[Message], origin: str, *, sees: bool = False) -> list[wire.ModelMessage]:
    """Return the messages in pydantic-ai's form; neighbours of one side become one message.

    Parts that only the model `origin` understands are sent back to no other model. A model that `sees` gets the
    pictures of the newest result with any: those of earlier trials cost tokens in each request.
    """
    from pydantic_ai import messages as wire

    history: list[wire.ModelMessage] = []
    pictured = newest_with_images(messages)
    for message in messages:
        match message:
            case UserText():
                parts: list[Any] = [wire.UserPromptPart(_content(message))]
            case ToolReturn():
                # Its content says that it failed; the library would put a failed one as text into JSON of its own.
                content: Any = name_tools(message.content)
                if sees and message is pictured:
                    content = [content, *map(_picture, message.images)]
                parts = [wire.ToolReturnPart(message.name, content, message.call_id)]
            case AssistantReply():
                history.append(_response_of(message, origin))
                continue
        if history:
            last = history[-1]
        else:
            last = None
        if isinstance(last, wire.ModelRequest):
            last.parts = [*last.parts, *parts]
        else:
            history.append(wire.ModelRequest(parts))
    return history


def newest_with_images(messages: Sequence[Message]) -> ToolReturn | None:
    """Return the newest result of a tool with pictures; None without any."""
    for message in reversed(messages):
        if isinstance(message, ToolReturn) and message.images:
            return message
    return None


@lru_cache(maxsize=64)
def tools_of(specs: tuple[ToolSpec, ...]) -> tuple[ToolDefinition, ...]:
    """Return the tools in pydantic-ai's form, cached because they are the same in every request."""
    from pydantic_ai.tools import ToolDefinition

    return tuple(
        ToolDefinition(
            name=spec.name, parameters_json_schema=json.loads(spec.schema), description=spec.description, strict=False
        )
        for spec in specs
    )


def reply_of(response: wire.ModelResponse, name: str, origin: str, took_s: float) -> ModelReply:
    """Convert an answer to a ModelReply. Raises ModelError if it is too large."""
    from pydantic_ai import messages as wire

    check_size(len(raw_text(response)), MAX_REPLY_CHARS, name)
    parts: list[wire.ModelResponsePart] = []
    calls = []
    for part in response.parts:
        if isinstance(part, wire.TextPart):
            text = encodable(visible_text(part.content))
            if text:
                parts.append(replace(part, content=text))
        elif isinstance(part, wire.ToolCallPart):
            calls.append(ToolCall(part.tool_call_id, encodable(part.tool_name), _arguments(part)))
            if len(calls) <= MAX_REPLY_CALLS:
                parts.append(replace(part, args=None))
        elif isinstance(part, wire.ThinkingPart):
            parts.append(replace(part, content=encodable(part.content)))
    check_size(sum(len(call.arguments) for call in calls), MAX_ARGUMENTS_CHARS, name)
    usage = usage_of(response.usage, _cost(response))
    note = _note(usage, took_s)
    if len(calls) > MAX_REPLY_CALLS:
        note += f", {len(calls):,} calls, of which {MAX_REPLY_CALLS} are read"
    text = "\n".join(part.content for part in parts if isinstance(part, wire.TextPart))
    return ModelReply(
        text,
        tuple(calls[:MAX_REPLY_CALLS]),
        usage,
        note,
        model=name,
        end=_end_of(response, has_answer=bool(text or calls)),
        provider_parts=_opaque(replace(response, parts=parts, metadata={"origin": origin})),
    )


def raw_text(response: wire.ModelResponse) -> str:
    """Return the text as it came, with the thoughts in it."""
    from pydantic_ai.messages import TextPart

    return "\n".join(part.content for part in response.parts if isinstance(part, TextPart))


def _end_of(response: wire.ModelResponse, *, has_answer: bool) -> ReplyEnd:
    from pydantic_ai.messages import ThinkingPart

    is_thought = any(isinstance(part, ThinkingPart) for part in response.parts)
    if response.finish_reason == "content_filter":
        return "filter"
    if not has_answer and (is_thought or raw_text(response).strip()):
        return "thoughts"
    return "length" if response.finish_reason == "length" else "stop"


def _opaque(response: wire.ModelResponse) -> str:
    """Return the response as JSON if its provider wants more of it back than text and calls, else nothing."""
    from pydantic_ai import messages as wire

    is_plain = all(
        isinstance(part, wire.TextPart | wire.ToolCallPart) and not part.provider_details for part in response.parts
    )
    if is_plain:
        return ""
    text = wire.ModelMessagesTypeAdapter.dump_json([response]).decode()
    return text if len(text) <= MAX_OPAQUE_CHARS else ""


def _response_of(message: AssistantReply, origin: str) -> wire.ModelResponse:
    """Return a reply as its provider gave it, with the calls as they were taken; else in the plain form."""
    from pydantic_ai import messages as wire

    calls = [wire.ToolCallPart(call.name, _replayed(call.arguments), call.call_id) for call in message.calls]
    if message.provider_parts:
        [response] = wire.ModelMessagesTypeAdapter.validate_json(message.provider_parts)
        if isinstance(response, wire.ModelResponse) and response.metadata == {"origin": origin}:
            taken = iter(calls)
            parts = [_with_call(part, taken) for part in response.parts]
            return replace(response, parts=parts)
    if message.text:
        texts = [wire.TextPart(message.text)]
    else:
        texts = []
    return wire.ModelResponse([*texts, *calls])


def _with_call(part: wire.ModelResponsePart, taken: Iterator[wire.ToolCallPart]) -> wire.ModelResponsePart:
    from pydantic_ai.messages import ToolCallPart

    if not isinstance(part, ToolCallPart):
        return part
    return replace(
        next(taken),
        id=part.id,
        provider_name=part.provider_name,
        provider_details=part.provider_details,
    )


def check_size(size: int, limit: int, name: str) -> None:
    if size > limit:
        raise ModelError(
            f"{name} sent {size:,} characters where at most {limit:,} are read",
            next_step="ask for less at once, or choose another model with MICROCLAW_MODEL",
            fault="unreadable",
        )


def usage_of(reported: RequestUsage, cost_usd: float | None) -> Usage:
    """Return the tokens that a server reports; a negative number counts as 0."""
    return Usage(
        max(0, reported.input_tokens), max(0, reported.output_tokens), cost_usd, max(0, reported.cache_read_tokens)
    )


def _content(message: UserText) -> Any:
    """Return the host's note, text and pictures; a picture that no provider accepts is described in words."""
    words = message.text
    if message.images and not words:
        words = "(no words, only the picture)"
    if message.note:
        words = f"{message.note}\n\n{words}"
    if message.images:
        return [*map(_picture, message.images), words]
    return words


def _picture(image: ImageInput) -> Any:
    from pydantic_ai.messages import BinaryContent

    if image.media_type not in IMAGE_TYPES or not 0 < len(image.data) <= MAX_IMAGE_BYTES:
        kind = image.media_type if image.media_type.isprintable() and len(image.media_type) < 60 else "another form"
        return f"(a picture came that cannot be shown to you: {kind}, {len(image.data):,} bytes)"
    return BinaryContent(image.data, media_type=image.media_type)


def _replayed(arguments: str) -> dict[str, Any]:
    """Return a call's arguments as an object: APIs refuse a history with the broken JSON that a model wrote."""
    try:
        return read_object(arguments or "{}")
    except ValueError:
        return {"not_json": arguments}


def _arguments(part: wire.ToolCallPart) -> str:
    """Return a call's arguments as JSON text, which may be broken: the tool explains the error to the model."""
    if not isinstance(part.args, str):
        try:
            return json.dumps(part.args or {})
        except RecursionError:
            return "[" * (MAX_DEPTH + 1)
    text = encodable(part.args)
    with contextlib.suppress(ValueError):
        decoded = json.dumps(read_object(text), ensure_ascii=False)
        clean = encodable(decoded)
        # The text had surrogates that were written as escapes.
        if clean != decoded:
            return clean
    return text


def _cost(response: wire.ModelResponse) -> float | None:
    """Return the dollars by pydantic-ai's price list, cached tokens at their own price; None for an unknown model."""
    try:
        if response.model_name:
            return float(response.cost().total_price)
        return None
    except (LookupError, ValueError):
        return None


def _note(usage: Usage, took_s: float) -> str:
    note = f"{took_s:.1f} s, {usage.input_tokens + usage.output_tokens} tokens"
    if usage.cached_tokens:
        note += f" ({usage.cached_tokens} cached)"
    if usage.cost_usd is not None:
        note += f", ${usage.cost_usd:.3f}"
    return note
