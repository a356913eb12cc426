"""The tools of a turn by name: reads a call's arguments, asks for the approval, runs the tool. It retries nothing.

It also writes what the person sees before approving a call; the text of a deployment is apps.stage_text's.
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

from microclaw.audit.event import AuditKind
from microclaw.auth.approvals import FAULT, HIDDEN_MARK, MAX_ACTION_CHARS, approved_act
from microclaw.auth.gate import Effect, Gate, Permission
from microclaw.devices.device_text import listening
from microclaw.errors import MicroclawError, PermissionRefused, ToolRetry
from microclaw.events import AskedProgram
from microclaw.models.protocol import ToolCall
from microclaw.models.reply_text import plain_name
from microclaw.operations.tool import (
    AnyArguments,
    PlannedCall,
    Tool,
    ToolContext,
    ToolResult,
    read_arguments,
    result_of,
    result_of_error,
)
from microclaw.store.schedules import StandingYes
from microclaw.text import clean_text, code_lines

_log = logging.getLogger(__name__)

INTERNAL: Final = "internal"
"""The error code of a call in which a part of the host had a fault: nobody can tell what came of it."""
_LINE_END: Final = re.compile(r"\\[nr]")  # in JSON: of a text of several lines
_MAY_STAND: Final = frozenset({"gpio-set", "pwm-set", "say", "notify"})
"""Acts that a person may allow to all runs of a schedule, although these have read text of others.

Each question shows all that is done: not so switch-program, whose program may be another one by then.
"""
_WEIGHT: Final = {Permission.READ: 0, Permission.ACT: 1, Permission.RISKY: 2}
_ADDRESS: Final = re.compile(r"\bhttps?://|\bwww\.", re.IGNORECASE)
_NAME: Final = re.compile(r"[\w-]+")


class Toolbox:
    """`Toolbox(tools, gate)`; names are unique. `coming` gives the tools that come and go, as they are now."""

    def __init__(
        self, tools: Iterable[Tool[Any]], gate: Gate, *, coming: Callable[[], Iterable[Tool[Any]]] = tuple
    ) -> None:
        self._tools: dict[str, Tool[Any]] = {}
        for tool in tools:
            if self._tools.setdefault(tool.name, tool) is not tool:
                raise ValueError(f"two tools are named {tool.name}")
        self._gate = gate
        self._coming = coming

    @property
    def tools(self) -> tuple[Tool[Any], ...]:
        """Every tool. When a tool that comes and goes has the name of a fixed one, the fixed one counts."""
        return (*self._tools.values(), *(tool for tool in self._coming() if tool.name not in self._tools))

    def with_own_name(self, call: ToolCall) -> ToolCall:
        """Return the call with its tool's name, if a model wrote it with underscores or a template's prefix."""
        if self._named(call.name) is not None:
            return call
        names = [tool.name for tool in self.tools if plain_name(tool.name) == plain_name(call.name)]
        if len(names) == 1:
            return replace(call, name=names[0])
        return call

    def effect_of(self, name: str) -> Effect:
        """The effect of a second run of this tool; READ for an unknown name, as nothing runs."""
        tool = self._named(name)
        return tool.effect if tool else Effect.READ

    def takes_device(self, name: str) -> bool:
        """True if a tool of this name is for a device."""
        tool = self._named(name)
        return tool is not None and "device" in tool.parameters.__struct_fields__

    def reads_others(self, words: str) -> bool:
        """Return True if the words hold the address of a page, or name a tool that reads text of others."""
        if _ADDRESS.search(words):
            return True
        names = _NAME.findall(words)
        return any(tool.foreign and tool.name in names for tool in self.tools)

    def with_more(self, tools: Iterable[Tool[Any]]) -> Toolbox:
        """A toolbox with these tools added."""
        return Toolbox((*self._tools.values(), *tools), self._gate, coming=self._coming)

    def only(self, names: Collection[str]) -> Toolbox:
        """A toolbox with only the named ones of the fixed tools."""
        return Toolbox((tool for tool in self._tools.values() if tool.name in names), self._gate)

    async def prepare(self, name: str, arguments: str, context: ToolContext) -> PlannedCall:
        """Return the needs of a call that is made later. Asks no device.

        Raises ToolRetry for wrong arguments, PermissionRefused.
        """
        context = replace(context, is_planned=True)
        tool, parameters = await self._read(name, arguments, context)
        permission = await self._required_permission(tool, parameters, context)
        if await _of(tool.asks, parameters, context, False):
            text = f"{_asked_text(tool, parameters, context)} asks each time, so it is not planned for later"
            raise ToolRetry(text, next_step="plan it for each board: one schedule a board")
        # what stands in its way now may be gone by then
        objections = tuple(await _of(tool.objections, parameters, context, ()))
        action = _asked_text(tool, parameters, context, objections)
        return PlannedCall(permission, action, argument_lines(parameters), objections)

    async def try_planned(self, name: str, arguments: str, context: ToolContext) -> str | None:
        """Try a call that is made later. Return what could not be tried, or None. Raises what it would fail with."""
        tool, parameters = await self._read(name, arguments, context)
        untried: str | None = await _of(tool.try_planned, parameters, context, None)
        return untried

    async def call(
        self, name: str, arguments: str, context: ToolContext, *, approved: Permission | None = None
    ) -> ToolResult:
        """Run a tool with arguments as JSON text. A failure is a result too: `ok` is False and the content says why.

        A call that needs an approval waits for it here, or in a tool with a preview. `approved` is what this call was
        approved for earlier: for a schedule, when it was made.
        """
        may_quote = has_begun = False
        note_begin = context.begin

        async def begin() -> None:
            nonlocal has_begun
            has_begun = True
            await note_begin()

        context = replace(context, begin=begin)
        with approved_act() as act, listening() as device_texts:
            try:
                tool, parameters = await self._read(name, arguments, context)
                context = await self._approved_context(tool, parameters, context, approved)
                may_quote = tool.foreign
                result = result_of(await tool.run(parameters, context), device_texts, may_quote=may_quote)
            except MicroclawError as exc:
                act.failed(exc.message, exc.code, exc.next_step)
                result = result_of_error(exc, device_texts, may_quote=may_quote)
            except Exception:  # a fault of ours: what the turn did before must still be told
                _log.exception("the tool %s failed inside the host", name[:80])
                act.end = FAULT
                fault = EndedError(f"a fault inside the host ended {name[:80]}", INTERNAL, _LOOK)
                result = result_of_error(fault, device_texts, may_quote=may_quote)
            if has_begun and tool.permission is not Permission.READ:  # it acts and was let through
                if result.ok:
                    how = "done"
                else:
                    how = f"ended with {result.error_code or 'an error'}"
                text = f"{tool.name} in {context.channel}: {how}"
                self._gate.note(AuditKind.TOOL_ACTED, text, context.person_id, about=context.device)
        return result

    async def _approved_context(
        self, tool: Tool[Any], parameters: Struct, context: ToolContext, approved: Permission | None
    ) -> ToolContext:
        """The context to run the tool in, once it may run. Raises PermissionRefused."""
        permission = await self._required_permission(tool, parameters, context)
        if tool.has_preview:

            async def approve(*asked: Any) -> None:
                await self._admit(tool.name, context, permission, approved, *asked)
                await context.begin()

            return replace(context, approve=approve)
        objections = tuple(await _of(tool.objections, parameters, context, ()))
        if objections:  # what was approved before was not approved in spite of these
            permission = Permission.RISKY
            approved = None
        asks = await _of(tool.asks, parameters, context, False)
        if asks or self._gate.needs_approval(permission, tainted=context.foreign):
            await _of(tool.check, parameters, context, None)
            described = tuple(await _of(tool.describe, parameters, context, ()))
            lines = (*objections, *argument_lines(parameters), *described)
            action = _asked_text(tool, parameters, context, objections, described)
            await self._admit(tool.name, context, permission, approved, action, lines, asks=asks)
            needs = await self._required_permission(tool, parameters, context)
            now = tuple(await _of(tool.objections, parameters, context, ()))
            meant = tuple(await _of(tool.describe, parameters, context, ()))
            if (Permission.RISKY if now else needs, meant, now) != (permission, described, objections):
                text = f"what {action} means changed while somebody was asked, so it was not done"
                raise PermissionRefused(text, next_step="ask for it again")
        await context.begin()
        if objections:
            return replace(context, insisted=objections)
        return context

    async def _required_permission(self, tool: Tool[Any], parameters: Struct, context: ToolContext) -> Permission:
        """Raises PermissionRefused when the person has not got it."""
        action = tool.title or tool.name
        self._gate.check(context.person_id, tool.permission, action)  # first, as the next line may ask a device
        permission: Permission = await _of(tool.required_permission, parameters, context, tool.permission)
        self._gate.check(context.person_id, permission, action)
        return permission

    async def _admit(
        self,
        name: str,
        context: ToolContext,
        permission: Permission,
        approved: Permission | None,
        text: str,
        detail: Sequence[str],
        program: AskedProgram | None = None,
        needs: Permission | None = None,
        asks: bool = False,
    ) -> None:
        """Ask, unless nobody must say yes or the call was approved before. Raises PermissionRefused."""
        needed = max(permission, needs or permission, key=_WEIGHT.__getitem__)
        if not asks and approved is not None and _WEIGHT[needed] <= _WEIGHT[approved] and not context.foreign:
            self._gate.check(context.person_id, needed, text)
            return
        standing = None
        may_stand = needed is Permission.ACT and name in _MAY_STAND and not asks
        if may_stand and context.schedule is not None and context.sources:
            standing = StandingYes(context.schedule, text, tuple(detail), context.sources)
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
        """The tool and the call's arguments. Raises ToolRetry."""
        tool = self._named(name)
        if tool is None:
            names = [tool.name for tool in self.tools]
            near = difflib.get_close_matches(name, names, n=1)
            if near:
                hint = f"did you mean {near[0]}?"
            else:
                hint = f"tools: {', '.join(names)}"
            raise ToolRetry(f"there is no tool {name[:80]!r}", next_step=hint)
        parameters = read_arguments(tool, arguments)
        return tool, await _of(tool.complete, parameters, context, parameters)

    def _named(self, name: str) -> Tool[Any] | None:
        return self._tools.get(name) or next((tool for tool in self._coming() if tool.name == name), None)


class EndedError(MicroclawError):
    """An error whose code is not its class's."""

    def __init__(self, text: str, code: str, next_step: str | None) -> None:
        super().__init__(text, next_step=next_step)
        self.code = code


_LOOK: Final = "look what came of it before it is asked for again; the host's log says what went wrong"


def _asked_text(
    tool: Tool[Any],
    parameters: Struct,
    context: ToolContext,
    objections: Sequence[str] = (),
    described: Sequence[str] = (),
) -> str:
    """The question to a person, on one line, with what has to be insisted on: that is read aloud, too. Without words
    of the tool's it is "gpio-set pin=4 level=1", with long values cut; `argument_lines` has them whole."""
    heard = (*objections[:2], f"{len(objections) - 2} more such") if len(objections) > 3 else objections
    if objections:
        although = f"although {' and '.join(heard)}, "
    else:
        although = ""
    if tool.words is None:
        given = [f"{key}={short_value(value)}" for key, value in _given(parameters)]
        words = " ".join((tool.title or tool.name, *given))
    else:
        words = tool.words(parameters, context, described)
    words = clean_text(f"{although}{words}", one_line=True, mark=HIDDEN_MARK)
    if len(words) <= MAX_ACTION_CHARS:
        return words
    return f"{words[: MAX_ACTION_CHARS - 3]}..."


def argument_lines(parameters: Struct) -> tuple[str, ...]:
    """One line for each argument; a text of several lines is indented below its name."""
    return tuple(line for key, value in _given(parameters) for line in _lines(key, value))


def _lines(key: str, value: Any) -> list[str]:
    text = _text(value)
    if isinstance(value, list | tuple) and _LINE_END.search(text):
        return [line for one in value for line in _lines(key, one)]
    if isinstance(value, dict) and _LINE_END.search(text):
        return [f"{key}:", *(f"    {line}" for name, one in value.items() for line in _lines(name, one))]
    shown = code_lines(text)
    if len(shown) <= 1:
        return [f"{key}: {text}"]
    return [f"{key}: {len(shown)} lines", *(f"    {line}" for line in shown)]


def _given(parameters: Struct) -> list[tuple[str, Any]]:
    """Every argument that is not None, also a default."""
    if isinstance(parameters, AnyArguments):
        given = parameters.given
    else:
        given = msgspec.to_builtins(parameters)
    return [(key, value) for key, value in given.items() if value is not None]


def short_value(value: Any) -> str:
    """A value on one short line."""
    text = " ".join(_text(value).split())
    if len(text) <= 40:
        return text
    return f"{text[:37]}..."


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


async def _of(
    hook: Callable[[Any, ToolContext], Awaitable[Any]] | None, parameters: Struct, context: ToolContext, default: Any
) -> Any:
    """A tool's own answer, where it has such a hook."""
    if hook is None:
        return default
    return await hook(parameters, context)
