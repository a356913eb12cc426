"""A body of /v1/chat/completions as a request for the agent; what is not done is refused by name. It runs nothing."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from microclaw.errors import MicroclawError
from microclaw.events import Attachment
from microclaw.models.client_model import AnswerForm, ClientWishes, checked_schema
from microclaw.models.protocol import AssistantReply, Image, Message, ToolCall, ToolReturn, ToolSpec, UserText
from microclaw.text import clean_text, fence_text

MODEL: Final = "microclaw"
MAX_IMAGES: Final = 4
MAX_MESSAGES: Final = 4096
MAX_PARTS: Final = 256
MAX_TOOLS: Final = 64
MAX_CALLS: Final = 64
MAX_SCHEMA_BYTES: Final = 64 << 10
MAX_TOKENS: Final = 32_768
CONVERSATION: Final = "conversation"
"""The key of `metadata` that names a conversation which the host keeps."""

_DATA_URL: Final = re.compile(r"data:(image/(?:png|jpeg|gif|webp));base64,(.+)", re.DOTALL)
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

# What changes nothing here: null, and these values. Anything else would be asked for in vain.
_ONLY: Final[dict[str, tuple[object, ...]]] = {
    "audio": (),
    "frequency_penalty": (0,),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "n": (1,),
    "prediction": (),
    "presence_penalty": (0,),
    "reasoning_effort": (),
    "seed": (),
    "service_tier": ("auto", "default"),
    "stop": ([], ""),
    "store": (False,),
    "tool_choice": ("auto", "none"),
    "top_logprobs": (0,),
    "verbosity": (),
    "web_search_options": (),
}
_NO_EFFECT: Final = frozenset({"user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"})


class BadRequest(MicroclawError):
    """A request that this API does not take; `param` names the place."""

    code = "bad_request"
    exit_code = 2

    def __init__(self, message: str, param: str, next_step: str | None = None) -> None:
        super().__init__(message, next_step=next_step)
        self.param = param


class _Form(BaseModel):
    model_config = ConfigDict(extra="ignore")  # inside of messages clients send much that means nothing here


class _ImageUrl(_Form):
    url: str


class _Part(_Form):
    type: str
    text: str | None = None
    image_url: _ImageUrl | None = None


class _Function(_Form):
    name: str
    arguments: str


class _Call(_Form):
    id: Annotated[str, Field(min_length=1, max_length=128)]
    type: Literal["function"] = "function"
    function: _Function


class _Message(_Form):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Annotated[list[_Part], Field(max_length=MAX_PARTS)] | None = None
    name: Annotated[str, Field(max_length=64)] | None = None
    tool_calls: Annotated[list[_Call], Field(max_length=MAX_CALLS)] | None = None
    tool_call_id: str | None = None
    audio: dict[str, Any] | None = None


class _StreamOptions(_Form):
    include_usage: bool = False


class _ToolFunction(_Form):
    name: str
    description: Annotated[str, Field(max_length=4096)] = ""
    parameters: dict[str, Any] | None = None


class _Tool(_Form):
    type: Literal["function"]
    function: _ToolFunction


class _JsonSchema(_Form):
    name: str
    schema_: Annotated[dict[str, Any], Field(alias="schema")]


class _ResponseFormat(_Form):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _JsonSchema | None = None


class CompletionBody(BaseModel):
    model_config = ConfigDict(extra="allow")  # the rest is checked by name

    model: str = MODEL
    messages: Annotated[list[_Message], Field(min_length=1, max_length=MAX_MESSAGES)]
    stream: bool = False
    stream_options: _StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    tools: Annotated[list[_Tool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    response_format: _ResponseFormat | None = None
    metadata: dict[str, str] | None = None

    @property
    def conversation(self) -> str | None:
        """The stored conversation that is asked for by name; None for a stateless request."""
        return (self.metadata or {}).get(CONVERSATION)

    @property
    def with_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def check(self) -> None:
        """Raise BadRequest for what is not done here."""
        for name, value in {**(self.model_extra or {}), "tool_choice": self.tool_choice}.items():
            if value is None or name in _NO_EFFECT:
                continue
            if name not in _ONLY:
                raise BadRequest(f"unknown parameter: {name[:80]}", name[:80], "docs/openai.md has the known ones")
            if not any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in _ONLY[name]):
                allowed = " or ".join(map(repr, _ONLY[name]))
                step = f"leave it out, or send {allowed}" if allowed else "leave it out"
                raise BadRequest(f"{name} is not done by this server", name, step)

    def one_message(self) -> tuple[str, tuple[Attachment, ...]]:
        """The text and pictures of the one new message of a stored conversation."""
        for name in ("tools", "response_format", "max_tokens", "max_completion_tokens", "temperature", "top_p"):
            if getattr(self, name) is not None:
                raise BadRequest(f"{name} is not done in a stored conversation", name, _STATELESS)
        if len(self.messages) != 1 or self.messages[0].role != "user":
            text = "a stored conversation takes one new user message: the host has the others"
            raise BadRequest(text, "messages", _STATELESS)
        text, images = _content(self.messages[0], "messages[0]", pictures=True)
        return text, tuple(Attachment("image", image.media_type, image.data) for image in images)

    def conversation_messages(self) -> tuple[str, tuple[Message, ...], UserText, tuple[Message, ...]]:
        """The system text, the history, the latest user message, and what followed it (calls and their results)."""
        system = [
            _content(message, f"messages[{index}]")[0]
            for index, message in enumerate(self.messages)
            if message.role in ("system", "developer")
        ]
        messages = _turns(self.messages)
        last = next((i for i, one in reversed(tuple(enumerate(messages))) if isinstance(one, UserText)), None)
        if last is None:
            raise BadRequest("messages has no user message", "messages", "say what is to be done")
        message, after = messages[last], messages[last + 1 :]
        assert isinstance(message, UserText)
        if after and isinstance(after[-1], AssistantReply):
            raise BadRequest("the last message is the assistant's", "messages", "end with a user or tool message")
        if sum(len(one.images) for one in messages if isinstance(one, UserText)) > MAX_IMAGES:
            raise BadRequest(f"more than {MAX_IMAGES} images", "messages", f"send at most {MAX_IMAGES} images")
        if not message.text.strip() and not message.images:
            raise BadRequest("the last user message is empty", "messages", "say what is to be done")
        return "\n\n".join(filter(None, system)), messages[:last], message, after

    def wishes(self, after: tuple[Message, ...]) -> ClientWishes:
        """What is asked of the model beside the messages."""
        tools = () if self.tool_choice == "none" else tuple(map(_spec, range(len(self.tools or ())), self.tools or ()))
        if len({tool.name for tool in tools}) < len(tools):
            raise BadRequest("two tools have one name", "tools", "give each a name of its own")
        return ClientWishes(
            tools=tools,
            after=after,
            form=_answer_form(self.response_format),
            max_tokens=self.max_completion_tokens or self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            one_call=self.parallel_tool_calls is False,
        )


_STATELESS: Final = f"leave out metadata.{CONVERSATION}: then the messages are the conversation"


def _turns(messages: Sequence[_Message]) -> tuple[Message, ...]:
    """The conversation without its system text. Each call has its result before anything else is said."""
    found: list[Message] = []
    open_calls: dict[str, str] = {}
    for index, message in enumerate(messages):
        place = f"messages[{index}]"
        if message.role == "tool":
            call_id = message.tool_call_id or ""
            if call_id not in open_calls:
                raise BadRequest("it answers no call of the message before", f"{place}.tool_call_id")
            name = open_calls.pop(call_id)
            text = fence_text(clean_text(_content(message, place)[0]), f"the client's tool {name}")
            found.append(ToolReturn(call_id, name, text))
            continue
        if open_calls:
            raise BadRequest(f"call {next(iter(open_calls))} has no result", place, "send a tool message for each call")
        if message.role == "user":
            text, images = _content(message, place, pictures=True)
            found.append(UserText(clean_text(f"[{message.name}] {text}" if message.name else text), images))
        elif message.role == "assistant":
            if message.audio is not None:
                raise BadRequest("audio is not read", f"{place}.audio", "send its text as content")
            calls = tuple(
                ToolCall(call.id, _checked_name(call.function.name, f"{place}.tool_calls"), call.function.arguments)
                for call in message.tool_calls or ()
            )
            open_calls = {call.call_id: call.name for call in calls}
            if len(open_calls) < len(calls):
                raise BadRequest("two calls have one id", f"{place}.tool_calls")
            found.append(AssistantReply(clean_text(_content(message, place)[0]), calls))
    if open_calls:
        raise BadRequest(
            f"call {next(iter(open_calls))} has no result", "messages", "send a tool message for each call"
        )
    return tuple(found)


def _content(message: _Message, place: str, *, pictures: bool = False) -> tuple[str, tuple[Image, ...]]:
    """A message's text and pictures."""
    if not isinstance(message.content, list):
        return message.content or "", ()
    texts: list[str] = []
    images: list[Image] = []
    for index, part in enumerate(message.content):
        where = f"{place}.content[{index}]"
        if part.type == "text":
            texts.append(part.text or "")
        elif part.type == "refusal" and message.role == "assistant":
            continue  # what was refused is no part of the conversation
        elif part.type == "image_url" and pictures:
            images.append(_image(part, where))
        else:
            raise BadRequest(f"content of type {part.type[:40]!r} is not read here", f"{where}.type", "send text")
    return "\n".join(texts), tuple(images)


def _image(part: _Part, where: str) -> Image:
    match = _DATA_URL.fullmatch(part.image_url.url if part.image_url else "")
    if match is None:
        step = "send a data: URL (png, jpeg, gif, webp)"
        raise BadRequest("addresses of images are not fetched", f"{where}.image_url", step)
    try:
        return Image(match[1], base64.b64decode(match[2], validate=True))
    except binascii.Error as exc:
        raise BadRequest("an image's data is not base64", f"{where}.image_url") from exc


def _spec(index: int, tool: _Tool) -> ToolSpec:
    place = f"tools[{index}].function"
    schema = tool.function.parameters or {"type": "object", "properties": {}}
    return ToolSpec(
        _checked_name(tool.function.name, f"{place}.name"),
        clean_text(tool.function.description),
        _schema_text(schema, f"{place}.parameters"),
    )


def _answer_form(asked: _ResponseFormat | None) -> AnswerForm | None:
    if asked is None or asked.type == "text":
        return None
    if asked.type == "json_object":
        return AnswerForm()
    if asked.json_schema is None:
        raise BadRequest("json_schema is missing", "response_format.json_schema", "give the schema there")
    return AnswerForm(_schema_text(asked.json_schema.schema_, "response_format.json_schema.schema"))


def _schema_text(schema: dict[str, Any], param: str) -> str:
    try:
        return checked_schema(schema, MAX_SCHEMA_BYTES)
    except ValueError as exc:
        raise BadRequest(str(exc), param) from exc


def _checked_name(name: str, param: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise BadRequest(f"{name[:80]!r} is no name of a tool", param, "1 to 64 letters, digits, - and _")
    return name
