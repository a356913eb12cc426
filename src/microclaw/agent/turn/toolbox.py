"""The tools of a turn by name: reads a call's arguments, asks for the approval, runs the tool. It retries nothing.

It also writes the question that a person approves; apps.stage_text writes the text of a deployment.
"""

from __future__ import annotations

import difflib
import json
import logging
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from microclaw.agent.models.protocol import ToolCall
from microclaw.agent.models.reply_text import plain_name
from microclaw.devices.registry.device_text import collect_device_texts
from microclaw.errors import MicroclawError, PermissionRefused, ToolRetry
from microclaw.events import AskedProgram
from microclaw.host.audit.event import AuditKind
from microclaw.host.auth.approvals import HIDDEN_MARK, MAX_ACTION_CHARS
from microclaw.host.auth.approved_act import FAULT, approved_act
from microclaw.host.auth.gate import Gate
from microclaw.host.operations.operation import Effect, Permission
from microclaw.host.operations.tool import (
    MAX_READ_BYTES,
    MAX_RESULT_BYTES,
    AnyArguments,
    PlannedCall,
    PlannedTrial,
    Tool,
    ToolContext,
    ToolResult,
    read_arguments,
    result_of,
    result_of_error,
)
from microclaw.host.store.schedules import AllowedAction
from microclaw.text import clean_text, code_lines

_log = logging.getLogger(__name__)

INTERNAL: Final = "internal"
"""The error code of a call that a fault inside the host ended: its outcome is unknown."""
# A line end as JSON writes it, in a text of several lines.
_LINE_END: Final = re.compile(r"\\[nr]")
_MAY_STAND: Final = frozenset({"gpio-set", "pwm-set", "say", "notify"})
"""Acts that a person may allow for all runs of a schedule, although these have read text of others.

The question about such an act shows its whole effect. switch-program is not among them, as its program may change.
"""
_WEIGHT: Final = {Permission.READ: 0, Permission.ACT: 1, Permission.RISKY: 2}
_ADDRESS: Final = re.compile(r"\bhttps?://|\bwww\.", re.IGNORECASE)
_NAME: Final = re.compile(r"[\w-]+")


class Toolbox:
    """The tools by name; names are unique. `coming` returns the current tools that come and go."""

    def __init__(
        self, tools: Iterable[Tool[Any]], gate: Gate, *, coming: Callable[[], Iterable[Tool[Any]]] = tuple
    ) -> None:
        self._tools: dict[str, Tool[Any]] = {}
        self.add(tools)
        self._gate = gate
        self._coming = coming

    def add(self, tools: Iterable[Tool[Any]]) -> None:
        """Add fixed tools."""
        for tool in tools:
            if self._tools.setdefault(tool.name, tool) is not tool:
                raise ValueError(f"two tools are named {tool.name}")

    @property
    def tools(self) -> tuple[Tool[Any], ...]:
        """All tools. If a tool that comes and goes has the name of a fixed tool, the fixed tool wins."""
        coming_tools = [tool for tool in self._coming() if tool.name not in self._tools]
        return (*self._tools.values(), *coming_tools)

    def with_own_name(self, call: ToolCall) -> ToolCall:
        """Return the call with its tool's name, if a model wrote it with underscores or a template's prefix."""
        if self._find(call.name) is not None:
            return call
        called_name = plain_name(call.name)
        names = [tool.name for tool in self.tools if plain_name(tool.name) == called_name]
        if len(names) == 1:
            return replace(call, name=names[0])
        return call

    def effect_of(self, name: str) -> Effect:
        """Return the effect of a second run of this tool; READ for an unknown name, as nothing runs."""
        tool = self._find(name)
        return tool.effect if tool else Effect.READ

    def takes_device(self, name: str) -> bool:
        """Return True if the tool of this name has a device argument."""
        tool = self._find(name)
        return tool is not None and "device" in tool.parameters.__struct_fields__

    def reads_others(self, words: str) -> bool:
        """Return True if the words hold the address of a page, or name a tool that reads text of others."""
        if _ADDRESS.search(words):
            return True
        names = _NAME.findall(words)
        return any(tool.foreign and tool.name in names for tool in self.tools)

    def with_more(self, tools: Iterable[Tool[Any]]) -> Toolbox:
        """Return a toolbox with these tools added."""
        return Toolbox((*self._tools.values(), *tools), self._gate, coming=self._coming)

    def only(self, names: Collection[str]) -> Toolbox:
        """Return a toolbox with the fixed tools of these names, and no others."""
        tools = [tool for tool in self._tools.values() if tool.name in names]
        return Toolbox(tools, self._gate)

    async def prepare(self, name: str, arguments: str, context: ToolContext) -> PlannedCall:
        """Return the needs of a call that is planned for later. Asks no device.

        Raises ToolRetry for wrong arguments, PermissionRefused.
        """
        context = replace(context, is_planned=True)
        tool, parameters = await self._read(name, arguments, context)
        permission = await self._required_permission(tool, parameters, context)
        if await _call_hook(tool.asks, parameters, context, default=False):
            text = f"{_asked_text(tool, parameters, context)} asks each time, so it is not planned for later"
            raise ToolRetry(text, next_step="plan it for each board: one schedule a board")
        # An objection of now may be gone when the call is due, so it does not refuse the plan.
        objections = tuple(await _call_hook(tool.objections, parameters, context, default=()))
        action = _asked_text(tool, parameters, context, objections)
        return PlannedCall(permission, action, argument_lines(parameters), objections)

    async def try_planned(self, name: str, arguments: str, context: ToolContext) -> PlannedTrial:
        """Try a call that is planned for later. Return what it would meet now.

        Raises the error that the call would end with.
        """
        tool, parameters = await self._read(name, arguments, context)
        trial: PlannedTrial = await _call_hook(tool.try_planned, parameters, context, default=PlannedTrial())
        return trial

    async def call(
        self,
        name: str,
        arguments: str,
        context: ToolContext,
        *,
        approved: Permission | None = None,
        by_rule: bool = False,
    ) -> ToolResult:
        """Run a tool with arguments as JSON text. A failure is a result too: `ok` is False and the content says why.

        A call that needs an approval waits for it here, or in a tool with a preview. `approved` is the permission that
        the call was approved for earlier: a schedule's, when it was made. `by_rule`: rules read the
        result, and no language model, so it may be long.
        """
        may_quote = False
        has_begun = False
        max_bytes = MAX_READ_BYTES if by_rule else MAX_RESULT_BYTES
        note_begin = context.begin

        async def begin() -> None:
            nonlocal has_begun
            has_begun = True
            await note_begin()

        context = replace(context, begin=begin)
        with approved_act() as act, collect_device_texts() as device_texts:
            try:
                tool, parameters = await self._read(name, arguments, context)
                context = await self._approved_context(tool, parameters, context, approved)
                may_quote = tool.foreign
                output = await tool.run(parameters, context)
                result = result_of(output, device_texts, may_quote=may_quote, max_bytes=max_bytes)
            except MicroclawError as exc:
                act.failed(exc.message, exc.code, exc.next_step)
                result = result_of_error(exc, device_texts, may_quote=may_quote)
            # After a fault of the host the turn must still report what it did before.
            except Exception:
                _log.exception("the tool %s failed inside the host", name[:80])
                act.end = FAULT
                fault = EndedError(f"a fault inside the host ended {name[:80]}", INTERNAL, _LOOK)
                result = result_of_error(fault, device_texts, may_quote=may_quote)
            if has_begun and tool.permission is not Permission.READ:
                self._note_act(tool, result, context)
        return result

    def _note_act(self, tool: Tool[Any], result: ToolResult, context: ToolContext) -> None:
        ending = "done"
        if not result.ok:
            ending = f"ended with {result.error_code or 'an error'}"
        text = f"{tool.name} in {context.channel}: {ending}"
        self._gate.note(AuditKind.TOOL_ACTED, text, context.person_id, about=context.device)

    async def _approved_context(
        self, tool: Tool[Any], parameters: Struct, context: ToolContext, approved: Permission | None
    ) -> ToolContext:
        """Return the context to run the tool in, once it may run. Raises PermissionRefused."""
        permission = await self._required_permission(tool, parameters, context)
        if tool.has_preview:

            async def approve(
                text: str, detail: Sequence[str], program: AskedProgram | None = None, needs: Permission | None = None
            ) -> None:
                needed = max(permission, needs or permission, key=_WEIGHT.__getitem__)
                if program is not None and _is_new_on_network(program):
                    needed = Permission.RISKY
                await self._admit(tool.name, context, needed, approved, text=text, detail=detail, program=program)
                await context.begin()

            return replace(context, approve=approve)
        objections = tuple(await _call_hook(tool.objections, parameters, context, default=()))
        if objections:
            # The earlier approval did not know these objections.
            permission = Permission.RISKY
            approved = None
        asks = await _call_hook(tool.asks, parameters, context, default=False)
        if asks or self._gate.needs_approval(permission, tainted=context.foreign):
            await _call_hook(tool.check, parameters, context, default=None)
            described = tuple(await _call_hook(tool.describe, parameters, context, default=()))
            lines = (*objections, *argument_lines(parameters), *described)
            action = _asked_text(tool, parameters, context, objections, described)
            await self._admit(tool.name, context, permission, approved, text=action, detail=lines, asks=asks)
            new_permission = await self._required_permission(tool, parameters, context)
            new_objections = tuple(await _call_hook(tool.objections, parameters, context, default=()))
            new_described = tuple(await _call_hook(tool.describe, parameters, context, default=()))
            if new_objections:
                new_permission = Permission.RISKY
            if (new_permission, new_described, new_objections) != (permission, described, objections):
                text = f"the meaning of {action} changed during the question, so it was not done"
                raise PermissionRefused(text, next_step="ask for it again")
        await context.begin()
        if objections:
            return replace(context, insisted=objections)
        return context

    async def _required_permission(self, tool: Tool[Any], parameters: Struct, context: ToolContext) -> Permission:
        """Return the permission that a call needs. Raises PermissionRefused if the person does not have it."""
        action = tool.title or tool.name
        # The tool's own permission is checked first, because the hook may ask a device.
        self._gate.check(context.person_id, tool.permission, action)
        hook = tool.required_permission
        permission: Permission = await _call_hook(hook, parameters, context, default=tool.permission)
        self._gate.check(context.person_id, permission, action)
        return permission

    async def _admit(
        self,
        name: str,
        context: ToolContext,
        needed: Permission,
        approved: Permission | None,
        *,
        text: str,
        detail: Sequence[str],
        program: AskedProgram | None = None,
        asks: bool = False,
    ) -> None:
        """Ask for approval unless none is needed or the call was approved before. Raises PermissionRefused."""
        is_approved = approved is not None and _WEIGHT[needed] <= _WEIGHT[approved]
        if is_approved and not asks and not context.foreign:
            self._gate.check(context.person_id, needed, text)
            return
        standing = None
        may_stand = needed is Permission.ACT and name in _MAY_STAND and not asks
        if may_stand and context.schedule is not None and context.sources:
            standing = AllowedAction(context.schedule, text, tuple(detail), context.sources)
        await self._gate.admit(
            context.person_id,
            needed,
            text,
            tainted=context.foreign,
            detail=detail,
            channel=context.channel,
            chat_id=context.chat_id,
            tool=name,
            asks=asks,
            program=program,
            turn=context.turn,
            standing=standing,
        )

    async def _read(self, name: str, arguments: str, context: ToolContext) -> tuple[Tool[Any], Struct]:
        """Return the tool and the call's arguments. Raises ToolRetry."""
        tool = self._find(name)
        if tool is None:
            names = [tool.name for tool in self.tools]
            similar = difflib.get_close_matches(name, names, n=1)
            hint = f"tools: {', '.join(names)}"
            if similar:
                hint = f"did you mean {similar[0]}?"
            raise ToolRetry(f"there is no tool {name[:80]!r}", next_step=hint)
        parameters = read_arguments(tool, arguments)
        return tool, await _call_hook(tool.complete, parameters, context, default=parameters)

    def _find(self, name: str) -> Tool[Any] | None:
        if name in self._tools:
            return self._tools[name]
        for tool in self._coming():
            if tool.name == name:
                return tool
        return None


def _is_new_on_network(program: AskedProgram) -> bool:
    """Return True for a program that uses the network and is not the one that is there: a person always sees it."""
    return bool(program.network.text) and program.sha256 != program.replaces


class EndedError(MicroclawError):
    """An error with a code of its own instead of its class's."""

    def __init__(self, text: str, code: str, next_step: str | None) -> None:
        super().__init__(text, next_step=next_step)
        self.code = code


_LOOK: Final = "check its outcome before you ask for it again; the host's log has the cause"


def _asked_text(
    tool: Tool[Any],
    parameters: Struct,
    context: ToolContext,
    objections: Sequence[str] = (),
    described: Sequence[str] = (),
) -> str:
    """Return the question to a person, on one line, with the objections: it may be read aloud.

    For a tool without `words` it is "gpio-set pin=4 level=1", with long values cut; `argument_lines` returns them
    whole.
    """
    if tool.words is None:
        parts = [tool.title or tool.name]
        for name, value in _set_arguments(parameters):
            parts.append(f"{name}={short_value(value)}")
        words = " ".join(parts)
    else:
        words = tool.words(parameters, context, described)
    if len(objections) > 3:
        objections = (*objections[:2], f"{len(objections) - 2} more such")
    if objections:
        words = f"{', and '.join(objections)}: {words}"
    words = clean_text(words, one_line=True, mark=HIDDEN_MARK)
    if len(words) <= MAX_ACTION_CHARS:
        return words
    return f"{words[: MAX_ACTION_CHARS - 3]}..."


def argument_lines(parameters: Struct) -> tuple[str, ...]:
    """Return one line for each argument; a text of several lines is indented below its name."""
    lines: list[str] = []
    for name, value in _set_arguments(parameters):
        lines += _value_lines(name, value)
    return tuple(lines)


def _value_lines(name: str, value: Any) -> list[str]:
    text = _text(value)
    lines: list[str] = []
    if isinstance(value, list | tuple) and _LINE_END.search(text):
        for item in value:
            lines += _value_lines(name, item)
        return lines
    if isinstance(value, dict) and _LINE_END.search(text):
        for key, item in value.items():
            lines += _value_lines(key, item)
        return [f"{name}:", *_indent(lines)]
    lines = code_lines(text)
    if len(lines) <= 1:
        return [f"{name}: {text}"]
    return [f"{name}: {len(lines)} lines", *_indent(lines)]


def _indent(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _set_arguments(parameters: Struct) -> list[tuple[str, Any]]:
    """Return the arguments that are not None, defaults too."""
    if isinstance(parameters, AnyArguments):
        arguments = parameters.given
    else:
        arguments = msgspec.to_builtins(parameters)
    set_arguments = []
    for name, value in arguments.items():
        if value is not None:
            set_arguments.append((name, value))
    return set_arguments


def short_value(value: Any) -> str:
    """Return a value on one short line."""
    text = " ".join(_text(value).split())
    if len(text) <= 40:
        return text
    return f"{text[:37]}..."


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


async def _call_hook(
    hook: Callable[[Any, ToolContext], Awaitable[Any]] | None, parameters: Struct, context: ToolContext, *, default: Any
) -> Any:
    """Return the answer of a tool's hook, or `default` if it has none."""
    if hook is None:
        return default
    return await hook(parameters, context)
