"""The format of the host's API: events, one JSON object a line, and errors. Host and clients both read it; no IO.

A `_...Line` is an event as it stands on the line, where the parts of the host tell each other more: msgspec checks it
and maps it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import quote

import msgspec
from msgspec import Struct

from microclaw.conversion import convert
from microclaw.errors import MicroclawError, PinClaimed, ProtocolError, TooManyApps
from microclaw.events import (
    Action,
    ActOutcome,
    Answer,
    ApprovalAsked,
    ApprovalSettled,
    Choice,
    Delta,
    Evidence,
    EvidenceKind,
    ResultFile,
    ScreenPicture,
    Step,
    ToolRun,
    TurnEvent,
)
from microclaw.text import clean_text

JsonObject: TypeAlias = dict[str, Any]

REQUEST_HEADER: Final = "Microclaw-Request"
"""A request's own number (16 to 32 hexadecimal digits), by which its caller finds the question that it waits for."""

TURN_HEADER: Final = "Microclaw-Turn"
"""The number of the turn that a message of a chat begins: the messages of the chat are in the order of their turns."""
AFTER_HEADER: Final = "Microclaw-After"
"""Instead of it, if the message was answered without a turn: the number of the chat's turn that is before it, or 0."""

TOO_MANY: Final = "too_many_tries"
"""The code of wrong tokens, codes and passwords beyond what is taken within a minute (429)."""

PROGRAM_PAGES: Final = "/app/"
"""Below it are the pages of programs, for browsers: an error there is a page, too."""
PAGE_MARK: Final = "~"
"""It stands before the secret in such an address."""
_PLAIN: Final = "@~._-"

MAX_LINE_BYTES: Final = 4 << 20
MAX_SHOWN_ARGUMENTS: Final = 8 << 10  # of a tool call in an answer: a turn has at most 80 of them


class StreamResult(Struct, frozen=True, tag="result", rename={"value": "result"}):
    """The end of a stream that is not a conversation: what was made."""

    value: JsonObject


class StreamFailure(Struct, frozen=True, rename={"next_step": "next"}):
    """The end of a stream that failed: errors.py's code, and each diagnostic as `Diagnostic.to_json` has it.

    `replaceable`: the programs of which each makes room for a new one if it is stopped: on a full board, or if it has a
    pin, a bus or timers that the new one needs.
    """

    code: str
    message: str
    next_step: str | None = None
    diagnostics: tuple[JsonObject, ...] = ()
    exit_code: int = 1
    replaceable: tuple[str, ...] = ()


class Keepalive(Struct, frozen=True, tag="keepalive"):
    """Nothing happened, and the host is still there."""


StreamEvent: TypeAlias = TurnEvent | StreamResult | StreamFailure | Keepalive


class _ToolLine(Struct, tag="tool"):
    name: str
    state: Literal["started", "done", "failed"]


class _ProofObject(Struct):
    """An action's evidence; its edges are in the answer's."""

    kind: EvidenceKind
    text: str


class _ActionObject(Struct, rename={"arguments": "args"}):
    tool: str
    arguments: str
    effect: str
    outcome: ActOutcome
    evidence: tuple[_ProofObject, ...] = ()
    reason: str = ""
    changes: tuple[int, ...] = ()


class _ApprovalLine(Struct, tag="approval"):
    approval_id: str
    text: str
    detail: tuple[str, ...]
    expires_s: float
    may_decide: bool = True
    actions: tuple[_ActionObject, ...] = ()


class _EdgeRow(Struct, array_like=True, frozen=True):
    t_ms: float
    pin: int
    level: int


class EvidenceObject(Struct, frozen=True):
    kind: EvidenceKind
    text: str
    edges: tuple[_EdgeRow, ...]


class _UsageObject(Struct, kw_only=True):
    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    cost_usd: float | None


class _AnswerLine(Struct, tag="answer", rename={"error_code": "error", "next_step": "next"}):
    text: str
    actions: tuple[_ActionObject, ...]
    evidence: tuple[EvidenceObject, ...]
    usage: _UsageObject
    error_code: str | None
    next_step: str | None
    outbound_id: int | None = None
    files: tuple[ResultFile, ...] = ()
    screens: tuple[ScreenPicture, ...] = ()
    choices: tuple[Choice, ...] = ()


class _ErrorLine(Struct, tag="error"):
    error: StreamFailure


_LINES: Final[dict[type, Any]] = {ToolRun: _ToolLine, ApprovalAsked: _ApprovalLine, Answer: _AnswerLine}
_EVENTS: Final = {line: event for event, line in _LINES.items()}
_Line: TypeAlias = (
    Step | Delta | _ToolLine | _ApprovalLine | ApprovalSettled | _AnswerLine | StreamResult | _ErrorLine | Keepalive
)
_DECODER: Final = msgspec.json.Decoder(_Line)


def program_page_path(program: str, secret: str = "") -> str:
    """Return the path of a program's first page. `program` is "lamp", or "lamp@kitchen" for that of one board."""
    path = f"{PROGRAM_PAGES}{quote(program, safe=_PLAIN)}/"
    if secret:
        path += f"{PAGE_MARK}{quote(secret, safe=_PLAIN)}/"
    return path


def stream_schemas() -> tuple[JsonObject, dict[str, JsonObject]]:
    """Return the JSON schema of a stream's line, and the schemas that it refers to, for an OpenAPI document."""
    (line,), parts = msgspec.json.schema_components((_Line,), ref_template="#/components/schemas/{name}")
    text = json.dumps({"line": line, "parts": parts})
    found = json.loads(re.sub(r'(?<=[/"])_(?=[A-Z])', "", text))
    return found["line"], found["parts"]


def encode_event(event: StreamEvent) -> bytes:
    """One line with its newline; a lone surrogate, which JSON can carry and UTF-8 cannot, becomes "?"."""
    line = json.dumps(event_object(event), ensure_ascii=False, separators=(",", ":"))
    return line.encode(errors="replace") + b"\n"


def event_object(event: StreamEvent) -> JsonObject:
    if isinstance(event, StreamFailure):
        return {"type": "error", "error": failure_object(event)}
    if isinstance(event, Answer):
        return {"type": "answer", **answer_object(event)}
    line = _LINES.get(type(event))
    if line is None:
        value = _builtins(event)
    else:
        value = _builtins(convert(event, line, from_attributes=True))
    if isinstance(event, Step) and not event.screens:
        del value["screens"]
    return value


def answer_object(answer: Answer) -> JsonObject:
    """Return an answer without the event's type; long arguments of its tool calls are cut."""
    value = _builtins(convert(answer, _AnswerLine, from_attributes=True))
    del value["type"]
    value["actions"] = [_shown(action) for action in value["actions"]]
    for name in ("files", "screens", "choices"):
        if not value[name]:
            del value[name]
    return value


def action_object(action: Action) -> JsonObject:
    """One act, as an answer has it."""
    return _shown(_builtins(convert(action, _ActionObject, from_attributes=True)))


def _shown(action: JsonObject) -> JsonObject:
    arguments = clean_text(action["args"])
    if len(arguments) > MAX_SHOWN_ARGUMENTS:
        cut = f"{arguments[:MAX_SHOWN_ARGUMENTS]}..."
    else:
        cut = arguments
    return {**action, "tool": clean_text(action["tool"], one_line=True, limit=80), "args": cut}


def evidence_object(evidence: Evidence) -> JsonObject:
    return _builtins(convert(evidence, EvidenceObject, from_attributes=True))


def failure_object(failure: StreamFailure) -> JsonObject:
    """Build the form that an error has in every JSON answer of the host."""
    value = _builtins(failure)
    for name in ("diagnostics", "replaceable"):
        if not value[name]:
            del value[name]
    return value


def failure_of(error: MicroclawError) -> StreamFailure:
    """Build the form of a raised error."""
    diagnostics = tuple(d.to_json() for d in error.diagnostics)
    replaceable = error.replaceable if isinstance(error, TooManyApps | PinClaimed) else ()
    return StreamFailure(error.code, error.message, error.next_step, diagnostics, error.exit_code, replaceable)


def decode_event(line: bytes) -> StreamEvent:
    """Read a line that `encode_event` wrote; raises ProtocolError for anything else."""
    if len(line) > MAX_LINE_BYTES:
        raise ProtocolError(f"the host sent a line of {len(line)} bytes, at most {MAX_LINE_BYTES} are allowed")
    try:
        found = _DECODER.decode(line)
        if isinstance(found, _ErrorLine):
            return _checked(found.error)
        event = _EVENTS.get(type(found))
        if event is None:
            value: StreamEvent = found
        else:
            value = convert(found, event, from_attributes=True)
        return value
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        text = f"the host sent a line this version does not know: {line[:80]!r}"
        raise ProtocolError(text, next_step="run the host and its client from the same version") from exc


def answer_from(value: Mapping[str, Any]) -> Answer:
    """Read what `answer_object` made; raises ValueError when it is something else."""
    return convert(convert(value, _AnswerLine), Answer, from_attributes=True)


def failure_from(value: object) -> StreamFailure:
    """Read the error form; raises ValueError when it is not one."""
    return _checked(convert(value, StreamFailure))


def _checked(failure: StreamFailure) -> StreamFailure:
    if not all(isinstance(found.get("text"), str) for found in failure.diagnostics):
        raise msgspec.ValidationError("a diagnostic has a text")
    return failure


def _builtins(value: object) -> JsonObject:
    found = msgspec.to_builtins(value)
    assert isinstance(found, dict)
    return found
