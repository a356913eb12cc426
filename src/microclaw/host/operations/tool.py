"""A tool that a model may call: its arguments, context and result. Also builds the tools of declared operations."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from microclaw.conversion import convert
from microclaw.errors import BuildError, MicroclawError, ToolRetry, TooManyApps, UndoElsewhere
from microclaw.events import Evidence, ResultFile, ScreenPicture
from microclaw.host.operations.argument_form import fault_path, right_form
from microclaw.host.operations.forms import ToolForm
from microclaw.host.operations.operation import (
    Approve,
    Effect,
    Operation,
    OperationCall,
    Permission,
    approve_all,
    fault,
    load,
)
from microclaw.host.operations.operation_modules import MODULES
from microclaw.host.operations.validation import check_letters, read_object
from microclaw.text import escape_hidden, fence_text, moment_text

MAX_ARGUMENT_BYTES = 512 * 1024
# The largest number in the store (SQLite's INTEGER).
MAX_NUMBER = 2**63 - 1
# The part of a result that is sent to the model.
MAX_RESULT_BYTES = 8 * 1024
# The part that is read by rules, which count and search in it.
MAX_READ_BYTES = 256 * 1024
# In 2001: a smaller number is a length of time.
_FIRST_MOMENT_MS = 10**12
_MAX_DIAGNOSTICS = 20
# The part of a device's text that is sent to the model.
_MAX_FOREIGN_CHARS = 600
_COMPARED_CHARS = 16
_DEVICE = "a device"
_FENCE = "<untrusted-"

P = TypeVar("P", bound="msgspec.Struct")


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    """The base of every tool's arguments. Unknown names are refused, so that a model learns the right ones."""


class AnyArguments(Parameters):
    """Arguments that another program checks: an MCP server, a device."""

    given: dict[str, Any]


async def _no_journal() -> None:
    """Record nothing."""


Begin: TypeAlias = Callable[[], Awaitable[None]]


class ToolContext(OperationCall, frozen=True):
    """The caller of a tool. `approve` is for a tool with `has_preview`.

    `foreign`: the turn has read untrusted text. The toolbox awaits `begin` after the approval and before anything
    changes. `said` are the person's own words in this turn. `insisted`: results of the tool's `objections` that a
    person has approved nevertheless. `takes_files`: files of the result reach that chat. `turn`: the calling turn; the
    call may use that turn's approvals. `schedule`: the number of the schedule that runs it, `sources` the calls that
    have read untrusted text in that run.
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


class ToolOutput(Struct, frozen=True):
    """A tool's result: JSON fields for the model, evidence for the person.

    `foreign`: not only this host, its person or their own program wrote these fields. None: as the tool declares, and
    also True if a device wrote in them. `files` are sent to the chat with the answer. `screens` are what displays
    showed in a trial: their pictures go to models that see, their texts to all.
    """

    fields: Mapping[str, Any]
    evidence: tuple[Evidence, ...] = ()
    foreign: bool | None = None
    files: tuple[ResultFile, ...] = ()
    screens: tuple[ScreenPicture, ...] = ()


class PlannedTrial(Struct, frozen=True):
    """What a call that is planned for later would meet now.

    `warning`: what could not be tried, or is in its way now. `cautions`: why its pins need care, which a person must
    agree to when it is planned; `keep_yes` records that.
    """

    warning: str | None = None
    cautions: tuple[str, ...] = ()
    keep_yes: Begin = _no_journal


class PlannedCall(Struct, frozen=True):
    """A call that would be allowed now: its permission, its action, and the objections that a person must overrule."""

    permission: Permission
    action: str
    lines: tuple[str, ...]
    objections: tuple[str, ...]


class Tool(Struct, Generic[P], frozen=True):
    """A tool as a model sees it, its needs, and `run`.

    `run` raises ToolRetry for wrong arguments and any other MicroclawError for a failure. `foreign`: its result has
    untrusted text (a page, a server's words), unless the result or the error says that it does not. A tool with
    `has_preview` calls context.approve itself, when it can show exactly what would happen. `required_permission`
    returns what these arguments need, if that differs from `permission`; `describe` returns lines for the approval
    about the objects of the arguments. `check` raises what `run` would refuse now; it is awaited only before a person
    is asked, and uses only this host and its devices. `objections` raises what is refused in any case, at each call and
    when a call is planned for later, and returns what a person must overrule: then the call always asks. `words` is the
    call in a person's words, for the question and for reading it aloud; it gets the lines of `describe`, none for a
    planned call. Without it the question has the name and the arguments; `title` replaces the name. `asks`: if a person
    must approve these arguments although the permission needs no approval; such a call cannot be planned for later.
    `complete` fills in left-out arguments that are clear, before anything else: the only device that has the program.
    `try_planned` tries a call that is planned for later, raises what it would fail with then whatever is on the device,
    and returns what it would meet now. `schema` is the JSON schema of arguments that another program checks: `run` gets
    these as AnyArguments. `told`: the arguments that are exposed to callers, if callers inside the host may give more.
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
    try_planned: Callable[[P, ToolContext], Awaitable[PlannedTrial]] | None = None
    schema: Mapping[str, Any] | None = None
    told: type[msgspec.Struct] | None = None


def schema_of(tool: Tool[Any]) -> Mapping[str, Any]:
    """Return a tool's arguments as a JSON schema."""
    if tool.schema is None:
        return object_schema(tool.told or tool.parameters)
    return tool.schema


def object_schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the JSON schema without titles and docstrings."""
    shared = msgspec.json.schema(kind)["$defs"]
    schema: dict[str, Any] = shared.pop(kind.__name__)
    for part in (schema, *shared.values()):
        part.pop("title", None)
        part.pop("description", None)
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
        values = read_object(arguments.strip() or "{}")
        check_letters(values, arguments)
        if tool.schema is not None:
            return AnyArguments(values)
        parameters: msgspec.Struct = convert(values, tool.parameters, strict=False)
    except msgspec.ValidationError as exc:
        step = right_form(tool.parameters, fault_path(exc))
        raise ToolRetry(f"wrong arguments for {tool.name}: {fault(exc)}", next_step=step) from exc
    except ValueError as exc:
        reason = "they are not JSON" if isinstance(exc, json.JSONDecodeError) else exc
        raise ToolRetry(f"wrong arguments for {tool.name}: {reason}", next_step=right_form(tool.parameters)) from exc
    if not _fits(msgspec.to_builtins(parameters)):
        raise ToolRetry(f"a number for {tool.name} is too large", next_step=right_form(tool.parameters))
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


class ToolResult(Struct, frozen=True):
    """The end of a call: JSON text of limited length for the model; `error_code` and `next_step` if it failed.

    `foreign`: it has untrusted text, so each later action of the turn needs an approval.
    """

    content: str
    ok: bool
    evidence: tuple[Evidence, ...] = ()
    error_code: str | None = None
    next_step: str | None = None
    foreign: bool = False
    files: tuple[ResultFile, ...] = ()
    screens: tuple[ScreenPicture, ...] = ()

    @property
    def person_step(self) -> str | None:
        """The next step for a person; None after wrong arguments, because the right form is for the model."""
        if self.error_code == ToolRetry.code:
            return None
        return self.next_step


def result_of(
    output: ToolOutput, device_texts: Sequence[str] = (), *, may_quote: bool = False, max_bytes: int = MAX_RESULT_BYTES
) -> ToolResult:
    """Return a tool's output for the model, with its evidence. The text of a device is fenced.

    `may_quote`: the tool's results quote untrusted text, unless the output says that it does not.
    """
    fields = dict(output.fields)
    if output.evidence:
        fields["evidence"] = [{"kind": item.kind, "text": item.text} for item in output.evidence]
    if output.screens:
        fields["screens"] = list(map(_screen_fields, output.screens))
    if device_texts:
        fields = _fence(fields, tuple(map(_beginning, device_texts)))
    foreign = output.foreign
    if foreign is None:
        foreign = may_quote or bool(device_texts)
    return ToolResult(
        bounded_json(fields, max_bytes),
        ok=True,
        evidence=output.evidence,
        foreign=foreign,
        files=output.files,
        screens=output.screens,
    )


def result_of_error(error: MicroclawError, device_texts: Sequence[str] = (), *, may_quote: bool = False) -> ToolResult:
    """Return an error for the model, with its diagnostics. The text of a device or a server is fenced.

    `may_quote`: the tool's errors quote untrusted text, unless the error says that it does not.
    """
    quotes = bool(error.foreign or device_texts)
    foreign = quotes or (may_quote and error.foreign is None)
    message = error.message
    if quotes:
        message = fence_text(message[:_MAX_FOREIGN_CHARS], _DEVICE)
    fields: dict[str, Any] = {"success": False, "error": error.code, "message": message}
    if isinstance(error, BuildError):
        fields["stage"] = error.stage
    if error.diagnostics:
        diagnostics = error.diagnostics[:_MAX_DIAGNOSTICS]
        fields["diagnostics"] = [diagnostic.render(next_step=error.next_step) for diagnostic in diagnostics]
    if isinstance(error, UndoElsewhere):
        fields["changes"] = list(error.changes)
    if isinstance(error, TooManyApps) and error.replaceable:
        fields["replaceable"] = list(error.replaceable)
    if error.next_step:
        fields["next"] = error.next_step
    if error.screens:
        fields["screens"] = list(map(_screen_fields, error.screens))
    return ToolResult(
        bounded_json(fields),
        ok=False,
        error_code=error.code,
        next_step=error.next_step,
        foreign=foreign,
        screens=error.screens,
    )


def _screen_fields(picture: ScreenPicture) -> dict[str, Any]:
    """Return what every model gets of a display's last picture; a picture without a text has none."""
    fields: dict[str, Any] = {
        "display": picture.part,
        "pictures": picture.count,
        "last_ms": picture.t_ms,
        "size": f"{picture.width} x {picture.height}",
    }
    if picture.text:
        fields["shows"] = picture.text
    return fields


def bounded_json(fields: Mapping[str, Any], max_bytes: int = MAX_RESULT_BYTES) -> str:
    """Return valid JSON text of at most `max_bytes`. Long texts and lists are cut, with a mark."""
    room = max_bytes
    shown = fields
    while True:
        text = escape_hidden(json.dumps(shown, ensure_ascii=False, separators=(",", ":")))
        if len(text.encode()) <= max_bytes or room <= 32:
            return text
        room //= 2
        shown = {**{key: _cut(value, room) for key, value in fields.items()}, "cut": "result was longer"}


def _cut(value: Any, room: int) -> Any:
    if isinstance(value, str) and len(value) > room:
        # A cut fence keeps its last line, which closes it.
        end = value.rpartition("\n")[2] if value.startswith(_FENCE) else ""
        if end:
            return f"{value[:room]}...\n{end}"
        return f"{value[:room]}..."
    if isinstance(value, list | tuple):
        items = [_cut(item, room) for item in value[: max(1, room // 64)]]
        if len(items) < len(value):
            items.append(f"... {len(value) - len(items)} more")
        return items
    if isinstance(value, dict):
        return {key: _cut(item, room) for key, item in list(value.items())[: max(1, room // 32)]}
    return value


def _fence(value: Any, beginnings: Sequence[str]) -> Any:
    """Return the value with each text (also a name) that contains a device's text cut and fenced."""
    match value:
        case str() if not value.startswith(_FENCE) and _has_any(_beginning(value, len(value)), beginnings):
            return fence_text(value[:_MAX_FOREIGN_CHARS], _DEVICE)
        case list() | tuple():
            return [_fence(item, beginnings) for item in value]
        case dict():
            return {_fence(key, beginnings): _fence(item, beginnings) for key, item in value.items()}
        case _:
            return value


def _has_any(text: str, beginnings: Sequence[str]) -> bool:
    return any(beginning in text for beginning in beginnings)


def _beginning(text: str, chars: int = _COMPARED_CHARS) -> str:
    """Return the letters and digits at the start of a text, which quoting and cleaning do not change."""
    return "".join(char for char in text if char.isalnum())[:chars]


def declared_tools(services: Mapping[str, Any]) -> tuple[Tool[Any], ...]:
    """Build the tools of the operations of these nouns, but not those of one device (devices/registry/target.py).

    `services` has the rooms' services by noun.
    """
    tools = []
    for noun, service in services.items():
        if noun not in MODULES:
            continue
        for operation in load(noun):
            if operation.tool is not None and operation.tool.fields is None:
                tools.append(_tool(operation, operation.tool, service))
    return tuple(tools)


def output_of(act: Operation[..., Any, Any], result: Any) -> ToolOutput:
    """Return the result of an operation as the output of its tool."""
    sentence = act.sentence(result)
    evidence: tuple[Evidence, ...] = ()
    if sentence is not None:
        evidence = (Evidence("written", sentence),)
    fields = with_moments(msgspec.to_builtins(result))
    if not fields.get("warning"):
        fields.pop("warning", None)
    return ToolOutput({"success": True, **fields}, evidence, foreign=result.is_foreign or None)


def with_moments(value: Any, name: str = "") -> Any:
    """Return a value with its moments as texts: models calculate badly in milliseconds since 1970."""
    if isinstance(value, dict):
        return {key: with_moments(inner, key) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [with_moments(inner) for inner in value]
    if name.endswith("_ms") and isinstance(value, int | float) and value > _FIRST_MOMENT_MS:
        return moment_text(value)
    return value


def _tool(act: Operation[..., Any, Any], form: ToolForm, service: Any) -> Tool[Any]:
    async def run(arguments: msgspec.Struct, context: ToolContext) -> ToolOutput:
        return output_of(act, await act.run(service, context, **asdict(arguments)))

    async def weigh(arguments: msgspec.Struct, context: ToolContext) -> Permission:
        assert act.before is not None
        return await act.before(service, context, **asdict(arguments)) or act.permission

    def words(arguments: msgspec.Struct, *_: object) -> str:
        return act.asked(asdict(arguments))

    return Tool(
        form.name,
        form.about or " ".join(act.help.split()),
        act.inside,
        act.permission,
        act.does,
        run,
        told=act.form,
        has_preview=act.previews,
        required_permission=None if act.before is None else weigh,
        words=None if act.words is None else words,
    )


def context_of(call: OperationCall) -> ToolContext:
    """Return the same caller, for a planned tool."""
    return ToolContext(call.person_id, call.report, call.device, call.channel, call.chat_id)
