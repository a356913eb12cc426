"""A body of /v1/chat/completions as messages for the agent; what is not done is refused by name. It runs nothing."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from microclaw.errors import MicroclawError
from microclaw.models.protocol import AssistantReply, Message, UserText
from microclaw.text import clean_text

MODEL: Final = "microclaw"
CONVERSATION: Final = "conversation"
"""The key of `metadata` that names a conversation which the host keeps."""

_NO_EFFECT: Final = frozenset(
    {"user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "service_tier"}
    | {"max_tokens", "max_completion_tokens", "temperature", "top_p"}
)
_DEFAULTS: Final[dict[str, object]] = {"n": 1, "response_format": {"type": "text"}, "modalities": ["text"]}


class BadRequest(MicroclawError):
    """A request that this API does not take; `param` names the place."""

    code = "bad_request"
    exit_code = 2

    def __init__(self, message: str, param: str, next_step: str) -> None:
        super().__init__(message, next_step=next_step)
        self.param = param


class _Form(BaseModel):
    model_config = ConfigDict(extra="ignore")  # inside of messages clients send much that means nothing here


class _Part(_Form):
    type: str
    text: str = ""


class _Message(_Form):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[_Part], Field(max_length=256)] | None = None
    name: Annotated[str, Field(max_length=64)] | None = None


class _StreamOptions(_Form):
    include_usage: bool = False


class CompletionBody(BaseModel):
    model_config = ConfigDict(extra="allow")  # the rest is checked by name

    model: str = MODEL
    messages: Annotated[list[_Message], Field(min_length=1, max_length=4096)]
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
        for name, value in (self.model_extra or {}).items():
            if value and name not in _NO_EFFECT and value != _DEFAULTS.get(name):
                raise BadRequest(f"{name[:80]} is not done by this server", name[:80], "leave it out")
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


def _text(message: _Message, place: str) -> str:
    if not isinstance(message.content, list):
        return message.content or ""
    for index, part in enumerate(message.content):
        if part.type != "text":
            where = f"{place}.content[{index}].type"
            raise BadRequest(f"content of type {part.type[:40]!r} is not read here", where, "send text")
    return "\n".join(part.text for part in message.content)
