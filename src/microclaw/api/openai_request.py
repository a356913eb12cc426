"""A body of /v1/chat/completions as messages for the agent; what is not done is refused by name. It runs nothing."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, ValidationError, convert

from microclaw.errors import MicroclawError
from microclaw.models.protocol import AssistantReply, Message, UserText
from microclaw.operations.operation import fault
from microclaw.text import clean_text
from microclaw.validation import read_object

MODEL: Final = "microclaw"
CONVERSATION: Final = "conversation"
"""The key of `metadata` that names a conversation which the host keeps."""

_NO_EFFECT: Final = frozenset(
    {"user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "service_tier"}
    | {"max_tokens", "max_completion_tokens", "temperature", "top_p"}
)
_DEFAULTS: Final[dict[str, object]] = {"n": 1, "response_format": {"type": "text"}, "modalities": ["text"]}


class BadRequest(MicroclawError, code="bad_request", exit_code=2):
    """A request that this API does not take; `param` names the place."""

    def __init__(self, message: str, param: str, next_step: str) -> None:
        super().__init__(message, next_step=next_step)
        self.param = param


class _Part(Struct, frozen=True):
    type: str
    text: str = ""


class _Message(Struct, frozen=True):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[_Part], Meta(max_length=256)] | None = None
    name: Annotated[str, Meta(max_length=64)] | None = None


class _StreamOptions(Struct, frozen=True):
    include_usage: bool = False


class CompletionBody(Struct, frozen=True):
    """Inside of messages clients send much that means nothing here."""

    messages: Annotated[list[_Message], Meta(min_length=1, max_length=4096)]
    model: str = MODEL
    stream: bool = False
    stream_options: _StreamOptions | None = None
    metadata: dict[str, str] | None = None

    @property
    def conversation(self) -> str | None:
        """The stored conversation that is asked for by name; None for a stateless request."""
        return (self.metadata or {}).get(CONVERSATION)

    @property
    def with_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def conversation_messages(self) -> tuple[str, tuple[Message, ...], str]:
        """The system text, the history and the latest message. Raises BadRequest for what is not done here."""
        system: list[str] = []
        said: list[Message] = []
        for index, message in enumerate(self.messages):
            text = _text(message, f"messages[{index}]")
            if message.role in ("system", "developer"):
                system.append(text)
            elif message.role == "user":
                said.append(UserText(clean_text(f"[{message.name}] {text}" if message.name else text)))
            else:
                said.append(AssistantReply(clean_text(text)))
        if not said or not isinstance(latest := said.pop(), UserText) or not latest.text.strip():
            raise BadRequest("the last message has no text of the user", "messages", "say what is to be done")
        if self.conversation is not None and len(self.messages) > 1:
            step = f"leave out metadata.{CONVERSATION}: then the messages are the conversation"
            raise BadRequest("a stored conversation takes one new message: the host has the others", "messages", step)
        return "\n\n".join(filter(None, system)), tuple(said), latest.text


def completion_body(content: bytes) -> CompletionBody:
    """Read it. Raises BadRequest for what it must not be, and for what is not done here."""
    try:
        found = read_object(content.decode())
        body = convert(found, CompletionBody)
    except ValidationError as exc:
        place, _, text = fault(exc).partition(": ")
        raise BadRequest(f"{place}: {text}", place, "see docs/openai.md") from exc
    except (ValueError, RecursionError) as exc:
        raise BadRequest(f"the body is no JSON: {exc}"[:300], "", "send a JSON object") from exc
    for name, value in found.items():
        known = name in CompletionBody.__struct_fields__ or name in _NO_EFFECT
        if value and not known and value != _DEFAULTS.get(name):
            raise BadRequest(f"{name[:80]} is not done by this server", name[:80], "leave it out")
    return body


def _text(message: _Message, place: str) -> str:
    if not isinstance(message.content, list):
        return message.content or ""
    for index, part in enumerate(message.content):
        if part.type != "text":
            where = f"{place}.content[{index}].type"
            raise BadRequest(f"content of type {part.type[:40]!r} is not read here", where, "send text")
    return "\n".join(part.text for part in message.content)
