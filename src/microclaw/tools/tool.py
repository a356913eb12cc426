"""What a model may call: a tool's form, and how a call ends. Knows no device and no journal."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from microclaw.auth.gate import Effect, Permission
from microclaw.errors import BuildError, MicroclawError
from microclaw.events import Evidence, Report
from microclaw.text import escape_hidden

MAX_RESULT_BYTES = 8 * 1024  # what of a result goes back to the model
_MAX_DIAGNOSTICS = 10

P = TypeVar("P", bound="Parameters")


class Parameters(BaseModel):
    """Base of every tool's arguments: unknown names are refused, so that a model learns the right ones."""

    model_config = ConfigDict(
        extra="forbid",
        populate_by_name=True,
        frozen=True,
        defer_build=True,  # at the first call or request: all of them at once would be a tenth of the host's start
    )

    @model_validator(mode="before")
    @classmethod
    def _no_truth_as_a_number(cls, values: Any) -> Any:
        """pydantic reads true as 1: a model that says pin true means no pin."""
        if isinstance(values, dict):
            truths = {name for name, field in cls.model_fields.items() if field.annotation is bool}
            for name, value in values.items():
                if isinstance(value, bool) and name not in truths:
                    raise PydanticCustomError("not_bool", "{name} is no yes or no", {"name": name})
        return values


async def _nobody_to_ask(_text: str, _detail: Sequence[str]) -> None:
    """The approval of a call that needs none."""


async def _nothing_to_note() -> None:
    """The begin of a call that no journal waits for."""


Approve: TypeAlias = Callable[[str, Sequence[str]], Awaitable[None]]
Begin: TypeAlias = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ToolContext:
    """Who asks, which device is meant when the arguments name none, and where progress goes.

    `approve(text, detail)` is for a tool that `previews`: it returns when the act may be done, at once where no
    approval is needed, and raises PermissionRefused on a no. `channel` and `chat_id` are where the person is.
    `foreign`: the turn has read a stranger's words. `begin` is awaited by the toolbox once the call is admitted and
    approved, before anything changes: an act that still waits for its yes has not started. `said` gives the person's
    own words in this turn.
    """

    person_id: str
    report: Report
    device: str | None = None
    channel: str = "terminal"
    chat_id: str = "terminal"
    approve: Approve = _nobody_to_ask
    foreign: bool = False
    begin: Begin = _nothing_to_note
    said: Callable[[], str] = str


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """What a tool found or did: JSON fields for the model, evidence for the person.

    `foreign`: these fields hold a stranger's words, though the tool's seldom do.
    """

    fields: Mapping[str, Any]
    evidence: tuple[Evidence, ...] = ()
    foreign: bool = False


@dataclass(frozen=True, slots=True)
class Tool(Generic[P]):
    """`run` raises ToolRetry when the arguments are wrong, any other MicroclawError when it failed."""

    name: str
    description: str
    parameters: type[P]
    permission: Permission
    effect: Effect
    run: Callable[[P, ToolContext], Awaitable[ToolOutput]]
    foreign: bool = False  # its result may hold a stranger's words (a page, a log, a device's name)
    previews: bool = False  # it calls context.approve itself, once it can show exactly what would happen
    skill: str | None = None  # offered only while this skill is active
    weigh: Callable[[P, ToolContext], Awaitable[Permission]] | None = None  # what these very arguments need
    means: Callable[[P, ToolContext], Awaitable[Sequence[str]]] | None = None  # what they name now, for a question


@dataclass(frozen=True, slots=True)
class ToolResult:
    """How a call ended: JSON text for the model, bounded; `error_code` and `next_step` when it failed."""

    content: str
    ok: bool
    evidence: tuple[Evidence, ...] = ()
    error_code: str | None = None
    next_step: str | None = None
    foreign: bool = False  # holds a stranger's words: what follows in the turn is asked for


def result_of(output: ToolOutput) -> ToolResult:
    """A tool's output with its evidence added to what the model reads."""
    fields = dict(output.fields)
    if output.evidence:
        fields["evidence"] = [{"kind": e.kind, "text": e.text} for e in output.evidence]
    return ToolResult(bounded_json(fields), ok=True, evidence=output.evidence, foreign=output.foreign)


def result_of_error(error: MicroclawError) -> ToolResult:
    """An error as the model reads it: its diagnostics with line, source line, caret and hint."""
    fields: dict[str, Any] = {"success": False, "error": error.code, "message": error.message}
    if isinstance(error, BuildError):
        fields["stage"] = error.stage
        fields["diagnostics"] = [d.render() for d in error.diagnostics[:_MAX_DIAGNOSTICS]]
    if error.next_step:
        fields["next"] = error.next_step
    return ToolResult(bounded_json(fields), ok=False, error_code=error.code, next_step=error.next_step)


def bounded_json(fields: Mapping[str, Any]) -> str:
    """JSON text of at most MAX_RESULT_BYTES that is still JSON: long texts and lists are cut and say so."""
    text = _dump(fields)
    room = MAX_RESULT_BYTES
    while len(text.encode()) > MAX_RESULT_BYTES and room > 32:
        room //= 2
        text = _dump({**{key: _cut(value, room) for key, value in fields.items()}, "cut": "result was longer"})
    return text


def _cut(value: Any, room: int) -> Any:
    if isinstance(value, str) and len(value) > room:
        return value[:room] + "..."
    if isinstance(value, list | tuple):
        kept = [_cut(item, room) for item in value[: max(1, room // 64)]]
        return kept if len(kept) == len(value) else [*kept, f"... {len(value) - len(kept)} more"]
    if isinstance(value, dict):
        return {key: _cut(item, room) for key, item in list(value.items())[: max(1, room // 32)]}
    return value


def _dump(fields: Mapping[str, Any]) -> str:
    return escape_hidden(json.dumps(fields, ensure_ascii=False, separators=(",", ":")))
