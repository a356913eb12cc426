"""A turn's events as OpenAI's chat.completion, whole or in chunks; `microclaw` in it has the acts. Runs no turn."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Final

import msgspec
from msgspec import Struct, field
from starlette.responses import JSONResponse

from microclaw.agent.turn.action_record import acts_of, reads_of, with_record
from microclaw.agent.turn.toolbox import INTERNAL
from microclaw.events import Answer, ApprovalAsked, Delta, Evidence, ToolRun, TurnEvent
from microclaw.interfaces.api.failures import openai_error, openai_fault
from microclaw.text import format_duration
from microclaw.wire.host_api import action_object, answer_object

MODEL: Final = "microclaw"
# Errors before anything was done, so the client may try again as after OpenAI's own errors.
REFUSED: Final = {
    "overloaded": 429,
    "budget_spent": 429,
    "empty_message": 400,
    "message_too_long": 400,
    "model_error": 502,
}


_BROKEN: Final = frozenset({*REFUSED, INTERNAL})
"""The error codes of a stream that is cut, so it ends with an error."""


class CompletionTurn(Struct, frozen=True):
    """A running turn and its one reader. `events` yields None if nothing happened for a while, and the answer last."""

    events: AsyncGenerator[TurnEvent | None]
    stop: Callable[[], object] = lambda: None
    """Called if the client has left: nothing more is started."""
    shown: Callable[[str], None] = lambda _text: None
    """Called with the text that the client got: the answer, or that the turn waits for an approval."""


class CompletionHead(Struct, frozen=True):
    """The fields that every object of one completion has."""

    with_usage: bool
    completion_id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created_s: int = field(default_factory=lambda: int(time.time()))

    def object(self, kind: str, **fields: Any) -> dict[str, Any]:
        return {"id": self.completion_id, "object": kind, "created": self.created_s, "model": MODEL, **fields}

    def chunk(self, delta: dict[str, Any], finish: str | None = None, **fields: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _line(self.object("chat.completion.chunk", choices=[choice], **fields))


class End(Struct, frozen=True):
    """The completion's last text, its `microclaw`, and the answer; a question that waits has no answer."""

    text: str
    extra: dict[str, Any]
    answer: Answer = Answer("")


async def parts(turn: CompletionTurn, *, streams: bool) -> AsyncGenerator[str | End | None]:
    """Yield the texts of a turn and its end; without `streams` the end has the whole text.

    An act that waits for a yes ends it at once; a client that leaves ends the turn at its next safe point.
    """
    sent = _SentText()
    is_ended = False
    try:
        async with aclosing(turn.events) as events:
            async for event in events:
                if isinstance(event, ApprovalAsked | Answer):
                    is_ended = True
                    end = _end(event, sent, streams=streams)
                    turn.shown(sent.whole + end.text)
                    yield end
                    return
                if event is None:
                    yield None
                    continue
                piece = sent.add(event) if streams else None
                if piece is not None:
                    yield piece
    finally:
        if not is_ended:
            turn.stop()


class _SentText:
    """The streamed text. `answer` is the part after the last tool call: earlier text is not part of the answer."""

    def __init__(self) -> None:
        self.whole = ""
        self.answer = ""

    def add(self, event: TurnEvent) -> str | None:
        """Return the text of the event, or None if it has none."""
        if isinstance(event, Delta):
            self.whole += event.text
            self.answer += event.text
            return event.text
        if isinstance(event, ToolRun) and event.state == "started" and self.answer:
            self.whole += "\n\n"
            self.answer = ""
            return "\n\n"
        return None


def _end(event: ApprovalAsked | Answer, sent: _SentText, *, streams: bool) -> End:
    if isinstance(event, ApprovalAsked):
        text = _waiting_text(event)
        if sent.answer:
            text = f"\n\n{text}"
        return End(text, _waiting(event))
    state = "done" if event.error_code is None else "failed"
    return End(_unsent_text(event, sent, streams=streams), {"state": state, **_done(event)}, event)


def _unsent_text(answer: Answer, sent: _SentText, *, streams: bool) -> str:
    """Return the rest of the answer; of a cut stream only the record of its acts."""
    if streams and answer.error_code in _BROKEN:
        record = with_record("", answer.actions)
        return f"\n\n{record}" if record else ""
    text = _text(answer)
    sent_text = sent.answer.strip()
    if text.startswith(sent_text):
        return text[len(sent_text) :]
    return f"\n\n{text}"


async def complete_response(turn: CompletionTurn, head: CompletionHead) -> JSONResponse:
    """Return the completion as one document."""
    async with aclosing(parts(turn, streams=False)) as turn_parts:
        async for part in turn_parts:
            if isinstance(part, End):
                return _document(part, head)
    return openai_error(500, "the turn ended without an answer (next: see the host's log)")


def _document(end: End, head: CompletionHead) -> JSONResponse:
    code = end.answer.error_code
    # After an act the error is an answer, because the client must not try again.
    if code in REFUSED and not acts_of(end.answer.actions):
        return openai_error(REFUSED[code], end.text, code=code)
    message = {"role": "assistant", "content": end.text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    usage = _usage(end.answer)
    return JSONResponse(head.object("chat.completion", choices=[choice], usage=usage, microclaw=end.extra))


async def stream(turn: CompletionTurn, head: CompletionHead) -> AsyncIterator[bytes]:
    """Yield the completion as Server-Sent Events."""
    yield head.chunk({"role": "assistant", "content": ""})
    async with aclosing(parts(turn, streams=True)) as turn_parts:
        async for part in turn_parts:
            text = part.text if isinstance(part, End) else part
            if text is None:
                yield b": working\n\n"
            elif text:
                yield head.chunk({"content": text})
            if not isinstance(part, End):
                continue
            code = part.answer.error_code
            if code in _BROKEN:
                fault = openai_fault(REFUSED.get(code or "", 500), _text(part.answer), code=code)
                yield _line({**msgspec.to_builtins(fault), "microclaw": part.extra})
                return
            yield head.chunk({}, "stop", microclaw=part.extra)
            if head.with_usage:
                yield _line(head.object("chat.completion.chunk", choices=[], usage=_usage(part.answer)))
    yield b"data: [DONE]\n\n"


def _done(answer: Answer) -> dict[str, Any]:
    """Return the fields of an answer of /v1/chat, with its actions as `acts` and `reads`."""
    fields = answer_object(Answer("", acts_of(answer.actions), answer.evidence))
    return {
        "acts": fields["actions"],
        "reads": [action_object(read) for read in reads_of(answer.actions)],
        "evidence": fields["evidence"],
        "error": answer.error_code,
        "next": answer.next_step,
    }


def _waiting(question: ApprovalAsked) -> dict[str, Any]:
    names = ("approval_id", "text", "detail", "expires_s", "may_decide")
    approval = {name: getattr(question, name) for name in names}
    evidence: list[Evidence] = []
    for action in question.actions:
        if action.outcome == "done":
            evidence.extend(action.evidence)
    answer = Answer("", question.actions, tuple(evidence))
    return {"state": "waiting", "approval": approval, **_done(answer)}


def _waiting_text(question: ApprovalAsked) -> str:
    """Return the text of the waiting act, the person who decides it, and the acts before it."""
    number = question.approval_id
    limit = format_duration(question.expires_s * 1000)
    if question.may_decide:
        how = f"Decide within {limit}: microclaw approval decide {number} yes (or no), or POST /v1/approvals/{number}."
    else:
        how = f"It is risky, so an owner decides it, within {limit}, as number {number} of their list."
    text = f"This waits for a yes and is not done: {question.text}."
    return with_record(f"{text} {how} After a yes it is done without asking again here.", question.actions)


def _text(answer: Answer) -> str:
    if answer.error_code is None or answer.next_step is None:
        return answer.text
    return f"{answer.text}\nNext: {answer.next_step}"


def _usage(answer: Answer) -> dict[str, int]:
    input_tokens = answer.usage.input_tokens
    output_tokens = answer.usage.output_tokens
    total_tokens = input_tokens + output_tokens
    return {"prompt_tokens": input_tokens, "completion_tokens": output_tokens, "total_tokens": total_tokens}


def _line(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"
