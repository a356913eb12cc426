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

from microclaw.agent.acts import acts_of, reads_of, with_record
from microclaw.agent.toolbox import INTERNAL
from microclaw.api.failures import openai_error, openai_fault
from microclaw.events import Answer, ApprovalAsked, Delta, ToolRun, TurnEvent
from microclaw.text import format_duration
from microclaw.wire.host_api import action_object, answer_object

MODEL: Final = "microclaw"
# Answers that are none: nothing was done, and the client may try again as it does with OpenAI's own errors.
REFUSED: Final = {
    "overloaded": 429,
    "budget_spent": 429,
    "empty_message": 400,
    "message_too_long": 400,
    "model_error": 502,
}


_BROKEN: Final = frozenset({*REFUSED, INTERNAL})
"""A stream that ends with one of these ends with an error: its text is cut."""


class CompletionTurn(Struct, frozen=True):
    """A running turn and its one reader. `events` has None now and then when nothing happened, the answer last."""

    events: AsyncGenerator[TurnEvent | None]
    stop: Callable[[], object] = lambda: None
    """The client has left: nothing more is started."""
    shown: Callable[[str], None] = lambda _text: None
    """The client got this text: the answer, or instead of one that the turn waits for an approval; it goes on so."""


class Head(Struct, frozen=True):
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
    """The completion's last text, its `microclaw`, and the answer; a question that waits has none."""

    text: str
    extra: dict[str, Any]
    answer: Answer = Answer("")


async def parts(turn: CompletionTurn, *, streams: bool) -> AsyncGenerator[str | End | None]:
    """The texts of a turn and its end; without `streams` that has the whole text. An act that waits for a yes ends it
    at once; a client that goes away ends the turn at its next safe point."""
    # `said` is of the answer: what came before a tool call is not part of it
    ended = False
    text = ""
    said = ""
    try:
        async with aclosing(turn.events) as events:
            async for event in events:
                ended = isinstance(event, ApprovalAsked | Answer)
                match event:
                    case None:
                        yield None
                    case Delta(piece) if streams:
                        text = text + piece
                        said = said + piece
                        yield piece
                    case ToolRun(state="started") if said:
                        text = f"{text}\n\n"
                        said = ""
                        yield "\n\n"
                    case ApprovalAsked():
                        if said:
                            rest = f"\n\n{_waiting_text(event)}"
                        else:
                            rest = _waiting_text(event)
                        turn.shown(text + rest)
                        yield End(rest, _waiting(event))
                        return
                    case Answer():
                        rest = _text(event)
                        said = said.strip()
                        if rest.startswith(said):
                            rest = rest[len(said) :]
                        else:
                            rest = f"\n\n{rest}"
                        if streams and event.error_code in _BROKEN:
                            record = with_record("", event.actions)
                            if record:
                                rest = f"\n\n{record}"
                            else:
                                rest = ""
                        turn.shown(text + rest)
                        state = "done" if event.error_code is None else "failed"
                        yield End(rest, {"state": state, **_done(event)}, event)
                        return
    finally:
        if not ended:
            turn.stop()


async def whole(turn: CompletionTurn, head: Head) -> JSONResponse:
    """The completion as one document."""
    async with aclosing(parts(turn, streams=False)) as found:
        async for part in found:
            if isinstance(part, End):
                # Once something was done it is an answer: nobody may try it again.
                if acts_of(part.answer.actions):
                    status = None
                else:
                    status = REFUSED.get(part.answer.error_code or "")
                if status is not None:
                    return openai_error(status, part.text, code=part.answer.error_code)
                message = {"role": "assistant", "content": part.text, "refusal": None}
                choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
                usage = _usage(part.answer)
                extra = part.extra
                return JSONResponse(head.object("chat.completion", choices=[choice], usage=usage, microclaw=extra))
    return openai_error(500, "the turn ended without an answer (next: see the host's log)")


async def stream(turn: CompletionTurn, head: Head) -> AsyncIterator[bytes]:
    """Server-Sent Events."""
    yield head.chunk({"role": "assistant", "content": ""})
    async with aclosing(parts(turn, streams=True)) as found:
        async for part in found:
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
    """The fields of an answer of /v1/chat, its actions as `acts` and `reads`."""
    kept = answer_object(Answer("", acts_of(answer.actions), answer.evidence))
    return {
        "acts": kept["actions"],
        "reads": [action_object(read) for read in reads_of(answer.actions)],
        "evidence": kept["evidence"],
        "error": answer.error_code,
        "next": answer.next_step,
    }


def _waiting(asked: ApprovalAsked) -> dict[str, Any]:
    told = ("approval_id", "text", "detail", "expires_s", "may_decide")
    approval = {name: getattr(asked, name) for name in told}
    evidence = tuple(proof for action in asked.actions if action.outcome == "done" for proof in action.evidence)
    return {"state": "waiting", "approval": approval, **_done(Answer("", asked.actions, evidence))}


def _waiting_text(asked: ApprovalAsked) -> str:
    """The text of what waits and who decides it, and of what was done before."""
    within = format_duration(asked.expires_s * 1000)
    if asked.may_decide:
        how = (
            f"Decide within {within}: microclaw approval decide {asked.approval_id} yes (or no), or POST "
            f"/v1/approvals/{asked.approval_id}."
        )
    else:
        how = f"It is risky, so an owner decides it, within {within}, as number {asked.approval_id} of their list."
    text = (
        f"This waits for a yes and is not done: {asked.text}. {how} After a yes it is done without asking again here."
    )
    return with_record(text, asked.actions)


def _text(answer: Answer) -> str:
    if answer.error_code is None or answer.next_step is None:
        return answer.text
    return f"{answer.text}\nNext: {answer.next_step}"


def _usage(answer: Answer) -> dict[str, int]:
    given = answer.usage.input_tokens
    made = answer.usage.output_tokens
    return {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}


def _line(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"
