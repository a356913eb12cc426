"""POST /v1/chat/completions and GET /v1/models, as OpenAI's clients use them. The agent runs the turn.

The client's messages are the conversation; `metadata.conversation` names a conversation that the host keeps instead,
which takes one new message (docs/openai.md). An unsupported field is refused by its name.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct, ValidationError
from starlette.responses import Response, StreamingResponse

from microclaw.agent.models.protocol import AssistantReply, Message, UserText
from microclaw.agent.turn.client_turn import ClientTurns
from microclaw.agent.turn.conversation import Conversations
from microclaw.agent.turn.inbox import Inbox
from microclaw.agent.turn.outbox import AcceptedMessage, events_of
from microclaw.conversion import convert
from microclaw.errors import MicroclawError
from microclaw.events import Answer, Inbound, TurnEvent
from microclaw.host.operations.operation import Access, fault
from microclaw.host.operations.validation import read_object
from microclaw.interfaces.api.caller import Caller
from microclaw.interfaces.api.custom_routes import RouteRequest, cancel_if_client_leaves, custom_route
from microclaw.interfaces.api.failures import failure_response, openai_error
from microclaw.interfaces.api.jobs import Feed, Jobs, with_keepalives
from microclaw.interfaces.api.openai_answer import (
    MODEL,
    REFUSED,
    CompletionHead,
    CompletionTurn,
    complete_response,
    stream,
)
from microclaw.text import clean_text
from microclaw.wire.host_api import Keepalive, StreamFailure, StreamResult, failure_of

CHANNEL: Final = "openai"
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.-]{1,32}")
CONVERSATION: Final = "conversation"
"""The key of `metadata` that names a conversation that the host keeps."""

_NO_EFFECT: Final = frozenset(
    {"user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "service_tier"}
    | {"max_tokens", "max_completion_tokens", "temperature", "top_p"}
)
_DEFAULTS: Final[dict[str, object]] = {"n": 1, "response_format": {"type": "text"}, "modalities": ["text"]}


class ModelFacts(Struct, frozen=True, kw_only=True):
    id: str
    object: str
    created: int
    owned_by: str


class ModelList(Struct, frozen=True, kw_only=True):
    object: str
    data: list[ModelFacts]


class Completion(Struct, frozen=True, kw_only=True):
    """OpenAI's form; `microclaw` says what the host did, and how it knows (docs/openai.md)."""

    id: str
    object: str
    created: int
    model: str
    choices: list[dict[str, Any]]
    usage: dict[str, int]
    microclaw: dict[str, Any]


class BadRequest(MicroclawError, code="bad_request", exit_code=2):
    """A request that this API does not accept; `param` names the place."""

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
    """The body of a request. Unknown fields inside of messages are ignored, because clients send many of them."""

    messages: Annotated[list[_Message], Meta(min_length=1, max_length=4096)]
    model: str = MODEL
    stream: bool = False
    stream_options: _StreamOptions | None = None
    metadata: dict[str, str] | None = None

    @property
    def conversation(self) -> str | None:
        """The name of the stored conversation; None for a stateless request."""
        return (self.metadata or {}).get(CONVERSATION)

    @property
    def with_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def conversation_messages(self) -> tuple[str, tuple[Message, ...], str]:
        """Return the system text, the history and the latest message; raises BadRequest for unsupported input."""
        system: list[str] = []
        messages: list[Message] = []
        for index, message in enumerate(self.messages):
            text = _text(message, f"messages[{index}]")
            if message.role in ("system", "developer"):
                system.append(text)
            elif message.role == "assistant":
                messages.append(AssistantReply(clean_text(text)))
            else:
                if message.name:
                    text = f"[{message.name}] {text}"
                messages.append(UserText(clean_text(text)))
        latest = messages.pop() if messages else None
        if not isinstance(latest, UserText) or not latest.text.strip():
            raise BadRequest("the last message has no text of the user", "messages", "put the request there")
        if self.conversation is not None and len(self.messages) > 1:
            step = f"leave out metadata.{CONVERSATION}: then the messages are the conversation"
            raise BadRequest("a stored conversation takes one new message: the host has the others", "messages", step)
        return "\n\n".join(filter(None, system)), tuple(messages), latest.text


def completion_body(content: bytes) -> CompletionBody:
    """Parse the body; raises BadRequest for a wrong form, and for unsupported fields."""
    try:
        fields = read_object(content.decode())
        body = convert(fields, CompletionBody)
    except ValidationError as exc:
        place, _, text = fault(exc).partition(": ")
        raise BadRequest(f"{place}: {text}", place, "see docs/openai.md") from exc
    except (ValueError, RecursionError) as exc:
        raise BadRequest(f"the body is not JSON: {exc}"[:300], "", "send a JSON object") from exc
    for name, value in fields.items():
        is_known = name in CompletionBody.__struct_fields__ or name in _NO_EFFECT
        if value and not is_known and value != _DEFAULTS.get(name):
            raise BadRequest(f"{name[:80]} is not supported by this server", name[:80], "leave it out")
    return body


class OpenAiService:
    """The parts that the routes use."""

    def __init__(self, conversations: Conversations, jobs: Jobs, keepalive_s: float) -> None:
        self.inbox = conversations.inbox
        self.turns = ClientTurns(conversations)
        self.jobs = jobs
        self.keepalive_s = keepalive_s
        self.model = ModelFacts(id=MODEL, object="model", created=int(time.time()), owned_by=MODEL)


@custom_route("openai.models", http="GET /v1/models", access=Access.ASK)
async def models(service: OpenAiService, _asked: RouteRequest) -> ModelList:
    """List the one model: this agent."""
    return ModelList(object="list", data=[service.model])


@custom_route("openai.model", http="GET /v1/models/{name:path}", access=Access.ASK)
async def model(service: OpenAiService, _asked: RouteRequest, name: str) -> ModelFacts:
    """Read the one model by its name."""
    if name != MODEL:
        text = f"there is no model {name[:80]!r} (next: use {MODEL})"
        return openai_error(404, text, code="model_not_found", param="model")  # type: ignore[return-value]
    return service.model


@custom_route("openai.complete", http="POST /v1/chat/completions", access=Access.ASK, reads=CompletionBody)
async def complete(service: OpenAiService, asked: RouteRequest) -> Completion:
    """Complete a chat as OpenAI does; docs/openai.md lists the supported fields."""
    # The route returns a Response with this form.
    return await _complete(service, asked)  # type: ignore[return-value]


async def _complete(service: OpenAiService, asked: RouteRequest) -> Response:
    try:
        body = completion_body(await asked.request.body())
        turn = await _begin_turn(service, asked.by, body)
    except BadRequest as exc:
        text = f"{exc.message} (next: {exc.next_step})"
        return openai_error(400, text, code="unsupported_or_invalid", param=exc.param)
    except MicroclawError as exc:
        return failure_response(failure_of(exc), REFUSED.get(exc.code), path=asked.request.url.path)
    head = CompletionHead(body.with_usage)
    if body.stream:
        lines = stream(turn, head)
        return StreamingResponse(lines, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
    # A client that leaves ends the turn before its next effect.
    return await cancel_if_client_leaves(asked.request, complete_response(turn, head))


async def _begin_turn(service: OpenAiService, by: Caller, body: CompletionBody) -> CompletionTurn:
    """Start the turn. Raises BadRequest, MessageTooLong, Overloaded."""
    inbox = service.inbox
    keepalive_s = service.keepalive_s
    system, history, text = body.conversation_messages()
    if body.conversation is not None:
        inbound = Inbound(CHANNEL, f"{by.source}.{conversation_of(body.conversation)}", text, by.person_id)
        accepted = await inbox.accept(inbound)
        stop = partial(inbox.cancel, CHANNEL, inbound.chat_id, message_id=accepted.message_id)
        return CompletionTurn(with_keepalives(_conversation_events(inbox, accepted), keepalive_s), stop)
    # The chat id is only for this request, for its approvals.
    inbound = Inbound(CHANNEL, f"{by.source}.{secrets.token_hex(8)}", text, by.person_id)
    outbound = inbox.answer_at_once(inbound)
    if outbound is not None:
        return CompletionTurn(events_of(outbound))
    turn = await service.turns.prepare(inbound, system, history)

    async def run(feed: Feed) -> Answer:
        return await turn.run(feed.put)

    feed = service.jobs.start("chat completion", run, by=by)
    return CompletionTurn(with_keepalives(_job_events(feed), keepalive_s), turn.turn.stop, turn.note_shown)


async def _job_events(feed: Feed) -> AsyncGenerator[TurnEvent, None]:
    async with aclosing(feed.read()) as events:
        async for event in events:
            if isinstance(event, StreamFailure):
                yield Answer(event.message, error_code=event.code, next_step=event.next_step)
            elif not isinstance(event, Keepalive | StreamResult):
                yield event


async def _conversation_events(inbox: Inbox, accepted: AcceptedMessage) -> AsyncGenerator[TurnEvent, None]:
    """Yield the events; an answer that no client waited for stays in the conversation."""
    async with aclosing(accepted.events) as events:
        async for event in events:
            if isinstance(event, Answer):
                await inbox.outbox.note_delivered(event.outbound_id, soon=True)
            yield event


def conversation_of(name: str) -> str:
    """Return the conversation's part of a chat id: the same text if it is short and plain, else its SHA-256.

    No two names share one: the hash has 64 characters, a plain name at most 32.
    """
    if _PLAIN.fullmatch(name):
        return name
    return hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()


def _text(message: _Message, place: str) -> str:
    if not isinstance(message.content, list):
        return message.content or ""
    for index, part in enumerate(message.content):
        if part.type != "text":
            param = f"{place}.content[{index}].type"
            raise BadRequest(f"content of type {part.type[:40]!r} is not read here", param, "send text")
    return "\n".join(part.text for part in message.content)
