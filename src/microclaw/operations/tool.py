"""A tool that a model may call: its arguments, its context and its result; those of declared acts. It runs nothing."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from microclaw.errors import BuildError, MicroclawError, ToolRetry, UndoElsewhere
from microclaw.events import Evidence, ResultFile
from microclaw.operations.operation import (
    Approve,
    Effect,
    Operation,
    OperationCall,
    Permission,
    approve_all,
    fault,
    load,
)
from microclaw.text import escape_hidden, fence_text, moment_text
from microclaw.validation import check_letters, read_object

MAX_ARGUMENT_BYTES = 512 * 1024
MAX_NUMBER = 2**63 - 1  # what the store holds (SQLite's INTEGER)
MAX_RESULT_BYTES = 8 * 1024  # what of a result goes back to the model
# In 2001: what is less is a length of time.
_FIRST_MOMENT_MS = 10**12
_MAX_DIAGNOSTICS = 20
_MAX_FOREIGN_CHARS = 600  # of one text of a device
_COMPARED_CHARS = 16
_DEVICE = "a device"
_FENCE = "<untrusted-"

P = TypeVar("P", bound="msgspec.Struct")


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    """The base of every tool's arguments. Unknown names are refused, so that a model learns the right ones."""


class AnyArguments(Parameters):
    """Arguments that somebody else checks: an MCP server, a device."""

    given: dict[str, Any]


async def _no_journal() -> None:
    """For a call that no journal records."""


Begin: TypeAlias = Callable[[], Awaitable[None]]


class ToolContext(OperationCall, frozen=True):
    """The caller of a tool. `approve` is for a tool with `has_preview`.

    `foreign`: the turn has read untrusted text. The toolbox awaits `begin` after the approval and before anything
    changes. `said` are the person's own words in this turn. `insisted`: the
    objections of the tool's `objections` that a person has heard and said yes to. `takes_files`: files of the result
    reach that chat. `turn`: the turn that calls it; its approvals are that turn's. `schedule`: the number of the
    schedule whose run it is, `sources` the calls that have read untrusted text in it. `is_planned`: the call is made
    later, so no device is asked: it may be away, and things are as they are then.
    """

    approve: Approve = approve_all
    foreign: bool = False
    begin: Begin = _no_journal
    said: str = ""
    insisted: tuple[str, ...] = ()
    takes_files: bool = False
    turn: str | None = None
    schedule: int | None = None
    sources: tuple[str, ...] = ()
    is_planned: bool = False


class ToolOutput(Struct, frozen=True):
    """A tool's result: JSON fields for the model, evidence for the person.

    `foreign`: somebody else than this host, its person or their own program wrote some of these fields. None: as the
    tool says, and also if a device wrote in them. `files` go to the chat with the answer.
    """

    fields: Mapping[str, Any]
    evidence: tuple[Evidence, ...] = ()
    foreign: bool | None = None
    files: tuple[ResultFile, ...] = ()


class PlannedCall(Struct, frozen=True):
    """A call that would be allowed now: the permission it needs, what it does, and what a person must insist on."""

    permission: Permission
    action: str
    lines: tuple[str, ...]
    objections: tuple[str, ...]


class Tool(Struct, Generic[P], frozen=True):
    """A tool as a model sees it, its needs, and `run`.

    `run` raises ToolRetry for wrong arguments and any other MicroclawError for a failure. `foreign`: its result holds
    untrusted text (a page, a server's words), unless the result or the error says that it does not. A tool with
    `has_preview` calls context.approve itself, when it can show exactly what would happen.
    `required_permission` gives what these arguments need, when that differs from `permission`; `describe` gives lines
    for the approval, on what the arguments refer to now. `check` raises what `run` would refuse as things are now; it
    is awaited before somebody is asked, and only then, and looks at nothing outside of this host and its devices.
    `objections` raises what would be refused anyway, at every call and when one is planned for later, and returns what
    a person must insist on: then the call always asks. `words` is what the call does as a person would say it, which
    is asked and read aloud; it has the lines of `describe`, none for a call that is planned. Without it the name and
    the arguments are asked, and `title` stands for the name. `asks`: whether a person must say yes to these arguments
    where the permission alone would need none; such a call is not planned for later. `complete` fills in arguments
    that were left out and are plain, before anything else: the device that alone has a program. `try_planned` tries a
    call that is planned for later, raises what it would fail with then, and returns what it could not try. `schema` is
    the JSON schema of arguments that somebody else checks: `run` gets these as AnyArguments. `told`: the arguments that
    callers are told, where those inside the host may give more.
    """

    name: str
    description: str
    parameters: type[P]
    permission: Permission
    effect: Effect
    run: Callable[[P, ToolContext], Awaitable[ToolOutput]]
    foreign: bool = False
    has_preview: bool = False
    required_permission: Callable[[P, ToolContext], Awaitable[Permission]] | None = None
    describe: Callable[[P, ToolContext], Awaitable[Sequence[str]]] | None = None
    check: Callable[[P, ToolContext], Awaitable[object]] | None = None
    objections: Callable[[P, ToolContext], Awaitable[Sequence[str]]] | None = None
    title: str | None = None
    asks: Callable[[P, ToolContext], Awaitable[bool]] | None = None
    words: Callable[[P, ToolContext, Sequence[str]], str] | None = None
    complete: Callable[[P, ToolContext], Awaitable[P]] | None = None
    try_planned: Callable[[P, ToolContext], Awaitable[str | None]] | None = None
    schema: Mapping[str, Any] | None = None
    told: type[msgspec.Struct] | None = None


def schema_of(tool: Tool[Any]) -> Mapping[str, Any]:
    """Return a tool's arguments as a JSON schema."""
    if tool.schema is None:
        return object_schema(tool.told or tool.parameters)
    return tool.schema


def object_schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Without titles and docstrings."""
    shared = msgspec.json.schema(kind)["$defs"]
    schema: dict[str, Any] = shared.pop(kind.__name__)
    for one in (schema, *shared.values()):
        one.pop("title", None)
        one.pop("description", None)
    if shared:
        return {**schema, "$defs": shared}
    return schema


def read_arguments(tool: Tool[Any], arguments: str) -> msgspec.Struct:
    """Parse the arguments of a call. Raises ToolRetry, which names the mistake and the right form."""
    if len(arguments) > MAX_ARGUMENT_BYTES:
        raise ToolRetry(
            f"the arguments of {tool.name} have {len(arguments)} characters, at most {MAX_ARGUMENT_BYTES} are allowed"
        )
    try:
        given = read_object(arguments.strip() or "{}")
        check_letters(given, arguments)
        if tool.schema is not None:
            return AnyArguments(given)
        parameters: msgspec.Struct = msgspec.convert(given, tool.parameters, strict=False)
    except msgspec.ValidationError as exc:
        raise ToolRetry(f"wrong arguments for {tool.name}: {fault(exc)}", next_step=_right_form(tool)) from exc
    except ValueError as exc:
        reason = "what was given is no JSON" if isinstance(exc, json.JSONDecodeError) else exc
        raise ToolRetry(f"wrong arguments for {tool.name}: {reason}", next_step=_right_form(tool)) from exc
    if not _fits(msgspec.to_builtins(parameters)):
        raise ToolRetry(f"a number for {tool.name} is too large", next_step=_right_form(tool))
    return parameters


def _fits(value: object) -> bool:
    """Return True if the store can hold every number in the value."""
    if isinstance(value, int | float):
        return -MAX_NUMBER - 1 <= value <= MAX_NUMBER
    if isinstance(value, Mapping):
        return all(map(_fits, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_fits, value))
    return True


def _right_form(tool: Tool[Any]) -> str:
    fields = []
    for field in msgspec.structs.fields(tool.parameters):
        schema = msgspec.json.schema(field.type)
        choices = schema.get("enum") or schema.get("anyOf", [{}])[0].get("enum", ())
        notes = []
        if choices:
            notes.append(" or ".join(map(str, choices)))
        if not field.required:
            notes.append("optional")
        text = field.encode_name
        if notes:
            text += f" ({'; '.join(notes)})"
        fields.append(text)
    return f"give one JSON object with: {', '.join(fields) or 'no fields'}"


class ToolResult(Struct, frozen=True):
    """The end of a call: JSON text of limited length for the model; `error_code` and `next_step` when it failed.

    `foreign`: it holds untrusted text, so what the turn does from now on needs an approval.
    """

    content: str
    ok: bool
    evidence: tuple[Evidence, ...] = ()
    error_code: str | None = None
    next_step: str | None = None
    foreign: bool = False
    files: tuple[ResultFile, ...] = ()

    @property
    def person_step(self) -> str | None:
        """The next step of a person; None after a wrong call, whose right form is for its model."""
        if self.error_code == ToolRetry.code:
            return None
        return self.next_step


def result_of(output: ToolOutput, device_texts: Sequence[str] = (), *, may_quote: bool = False) -> ToolResult:
    """Build a tool's output, with its evidence added to the model's text. A device's text is fenced.

    `may_quote`: the tool's results quote others, unless the output says that it does not.
    """
    fields = dict(output.fields)
    if output.evidence:
        fields["evidence"] = [{"kind": e.kind, "text": e.text} for e in output.evidence]
    if device_texts:
        fields = _fenced(fields, tuple(_beginning(text) for text in device_texts))
    foreign = output.foreign
    if foreign is None:
        foreign = may_quote or bool(device_texts)
    return ToolResult(bounded_json(fields), ok=True, evidence=output.evidence, foreign=foreign, files=output.files)


def result_of_error(error: MicroclawError, device_texts: Sequence[str] = (), *, may_quote: bool = False) -> ToolResult:
    """Build an error for the model, with its diagnostics. The text of a device or a server is fenced.

    `may_quote`: the tool's errors quote others, unless the error says that it does not.
    """
    quotes = bool(error.foreign or device_texts)
    foreign = quotes or (may_quote and error.foreign is None)
    if quotes:
        message = fence_text(error.message[:_MAX_FOREIGN_CHARS], _DEVICE)
    else:
        message = error.message
    fields: dict[str, Any] = {"success": False, "error": error.code, "message": message}
    if isinstance(error, BuildError):
        fields["stage"] = error.stage
    if error.diagnostics:
        shown = error.diagnostics[:_MAX_DIAGNOSTICS]
        fields["diagnostics"] = [found.render(next_step=error.next_step) for found in shown]
    if isinstance(error, UndoElsewhere):
        fields["changes"] = list(error.changes)
    if error.next_step:
        fields["next"] = error.next_step
    content = bounded_json(fields)
    return ToolResult(content, ok=False, error_code=error.code, next_step=error.next_step, foreign=foreign)


def bounded_json(fields: Mapping[str, Any]) -> str:
    """Return valid JSON text of at most MAX_RESULT_BYTES. Long texts and lists are cut, with a mark."""
    room = MAX_RESULT_BYTES
    shown = fields
    while True:
        text = escape_hidden(json.dumps(shown, ensure_ascii=False, separators=(",", ":")))
        if len(text.encode()) <= MAX_RESULT_BYTES or room <= 32:
            return text
        room //= 2
        shown = {**{key: _cut(value, room) for key, value in fields.items()}, "cut": "result was longer"}


def _cut(value: Any, room: int) -> Any:
    if isinstance(value, str) and len(value) > room:
        if value.startswith(_FENCE):
            end = value.rpartition("\n")[2]
        else:
            end = ""
        if end:
            return f"{value[:room]}...\n{end}"
        return f"{value[:room]}..."
    if isinstance(value, list | tuple):
        kept = [_cut(item, room) for item in value[: max(1, room // 64)]]
        if len(kept) == len(value):
            return kept
        return [*kept, f"... {len(value) - len(kept)} more"]
    if isinstance(value, dict):
        return {key: _cut(item, room) for key, item in list(value.items())[: max(1, room // 32)]}
    return value


def _fenced(value: Any, beginnings: Sequence[str]) -> Any:
    """`value` with each text, also a name, that holds one that begins so cut and fenced."""
    match value:
        case str() if not value.startswith(_FENCE) and _has_any(_beginning(value, len(value)), beginnings):
            return fence_text(value[:_MAX_FOREIGN_CHARS], _DEVICE)
        case list() | tuple():
            return [_fenced(item, beginnings) for item in value]
        case dict():
            return {_fenced(key, beginnings): _fenced(item, beginnings) for key, item in value.items()}
        case _:
            return value


def _has_any(text: str, beginnings: Sequence[str]) -> bool:
    return any(beginning in text for beginning in beginnings)


def _beginning(text: str, chars: int = _COMPARED_CHARS) -> str:
    """Return the letters and digits at the start of a text, which quoting and cleaning do not change."""
    return "".join(char for char in text if char.isalnum())[:chars]


def declared_tools(services: Mapping[str, Any]) -> tuple[Tool[Any], ...]:
    """Build a tool for each act of these nouns that has one. `services` has the rooms' services by their nouns."""
    tools = []
    for noun, service in services.items():
        for operation in load(noun):
            if operation.tool:
                tools.append(_tool(operation, service))
    return tuple(tools)


def output_of(act: Operation[..., Any], result: Any) -> ToolOutput:
    """Return the result of a declared act as the output of its tool."""
    sentence = act.sentence(result)
    evidence: tuple[Evidence, ...] = ()
    if sentence is not None:
        evidence = (Evidence("written", sentence),)
    fields = with_moments(msgspec.to_builtins(result))
    if not fields.get("warning"):
        fields.pop("warning", None)
    return ToolOutput({"success": True, **fields}, evidence, foreign=result.is_foreign or None)


def with_moments(value: Any, name: str = "") -> Any:
    """Return a value with its moments as texts: a model calculates badly in milliseconds since 1970."""
    if isinstance(value, dict):
        return {key: with_moments(inner, key) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [with_moments(inner) for inner in value]
    if name.endswith("_ms") and isinstance(value, int | float) and value > _FIRST_MOMENT_MS:
        return moment_text(value)
    return value


def _tool(act: Operation[..., Any], service: Any) -> Tool[Any]:
    async def run(asked: msgspec.Struct, context: ToolContext) -> ToolOutput:
        return output_of(act, await act.run(service, context, **asdict(asked)))

    async def needed(asked: msgspec.Struct, context: ToolContext) -> Permission:
        assert act.before is not None
        return await act.before(service, context, **asdict(asked)) or act.permission

    return Tool(
        act.tool or "",
        " ".join(act.help.split()),
        act.inside,
        act.permission,
        act.does,
        run,
        told=act.form,
        has_preview=act.previews,
        required_permission=needed if act.previews else None,
        check=needed if act.before is not None and not act.previews else None,
        words=None if act.words is None else lambda asked, *_: act.asked(asdict(asked)),
    )


def context_of(call: OperationCall) -> ToolContext:
    """Return the same caller, for a planned tool."""
    return ToolContext(call.person_id, call.report, call.device, call.channel, call.chat_id)
