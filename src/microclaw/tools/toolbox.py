"""The tools of a turn under their names: reads arguments, asks the gate, runs. It retries nothing."""

from __future__ import annotations

import difflib
import json
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from pydantic import ValidationError

from microclaw.auth.approvals import HIDDEN_MARK
from microclaw.auth.gate import Effect, Gate, Permission
from microclaw.errors import MicroclawError, PermissionRefused, ToolRetry
from microclaw.models.protocol import ToolSpec
from microclaw.text import clean_text
from microclaw.tools.tool import Approve, Parameters, Tool, ToolContext, ToolResult, result_of, result_of_error

MAX_ACTION_CHARS: Final = 160


def action_text(name: str, parameters: Parameters) -> str:
    """ "gpio-set pin=4 level=1": one line, long values cut; `argument_lines` has them whole."""
    words = [f"{key}={_short(value)}" for key, value in _given(parameters)]
    return " ".join((name, *words))[:MAX_ACTION_CHARS]


def argument_lines(parameters: Parameters) -> tuple[str, ...]:
    """One line an argument; a text of several lines below its name, indented."""
    lines: list[str] = []
    for key, value in _given(parameters):
        text = _text(value)
        shown = text.splitlines()
        if len(shown) <= 1:
            lines.append(f"{key}: {text}")
            continue
        lines.append(f"{key}: {len(shown)} lines")
        lines += [f"    {line}" for line in shown]
    return tuple(lines)


def _given(parameters: Parameters) -> list[tuple[str, Any]]:
    """Every argument, whether it was said or is the tool's default; those that are None mean nothing."""
    return [(key, value) for key, value in parameters.model_dump(by_alias=True).items() if value is not None]


def _short(value: Any) -> str:
    text = " ".join(_text(value).split())
    return text if len(text) <= 40 else f"{text[:37]}..."


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return clean_text(text, mark=HIDDEN_MARK)


MAX_ARGUMENT_BYTES = 512 * 1024
_WEIGHT = {Permission.READ: 0, Permission.ACT: 1, Permission.RISKY: 2}


async def _nothing_to_check() -> None:
    """For an act that waits for nobody."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A call that would be admitted now: what it needs, and what it does in words."""

    name: str
    permission: Permission
    effect: Effect
    action: str
    lines: tuple[str, ...]


class Toolbox:
    """`Toolbox(tools, gate)`; names are unique. `coming` gives those that come and go, at this moment."""

    def __init__(
        self, tools: Iterable[Tool[Any]], gate: Gate, *, coming: Callable[[], Iterable[Tool[Any]]] = tuple
    ) -> None:
        self._tools: dict[str, Tool[Any]] = {}
        for tool in tools:
            if tool.name in self._tools:
                raise ValueError(f"two tools are named {tool.name}")
            self._tools[tool.name] = tool
        self._gate = gate
        self._coming = coming

    @property
    def tools(self) -> tuple[Tool[Any], ...]:
        """Of two with one name the one that stays counts."""
        return (*self._tools.values(), *(tool for tool in self._coming() if tool.name not in self._tools))

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """Every tool as a model sees it."""
        return (*self._own_specs, *(_spec(tool) for tool in self.tools[len(self._tools) :]))

    @cached_property
    def _own_specs(self) -> tuple[ToolSpec, ...]:
        return tuple(_spec(tool) for tool in self._tools.values())

    def offered(self, skills: Collection[str], named: Collection[str] = ()) -> tuple[ToolSpec, ...]:
        """What a model sees while these skills are active: theirs, those that they name, and all that have none."""
        if not any(tool.skill for tool in self._tools.values()):
            return self.specs
        tools = self.tools
        shown = zip(tools, (*self._own_specs, *(_spec(tool) for tool in tools[len(self._tools) :])), strict=True)
        return tuple(spec for tool, spec in shown if tool.skill is None or tool.skill in skills or tool.name in named)

    def effect_of(self, name: str) -> Effect:
        """What a second run of this tool would do; READ for a name that is no tool (nothing runs)."""
        tool = self._named(name)
        return tool.effect if tool else Effect.READ

    def with_more(self, tools: Iterable[Tool[Any]]) -> Toolbox:
        """These tools and more, whose calls may be of these alone."""
        return Toolbox((*self._tools.values(), *tools), self._gate, coming=self._coming)

    def only(self, names: Collection[str]) -> Toolbox:
        """Those of these tools that are named."""
        return Toolbox((tool for tool in self._tools.values() if tool.name in names), self._gate)

    async def prepare(self, name: str, arguments: str, context: ToolContext) -> Prepared:
        """What a call for later would need. Raises ToolRetry for wrong arguments, PermissionRefused."""
        tool = self._find(name)
        parameters = _read_arguments(tool, arguments)
        action = action_text(tool.name, parameters)
        permission = await self._weighed(tool, parameters, context, action)
        self._gate.check(context.person_id, permission, action)
        return Prepared(tool.name, permission, tool.effect, action, argument_lines(parameters))

    async def call(
        self, name: str, arguments: str, context: ToolContext, *, approved: Permission | None = None
    ) -> ToolResult:
        """Run a tool with arguments as JSON text. A failure is a result too: `ok` is False and the content says why.

        What needs an approval waits for it here, or in the tool once that can show what would happen. `approved` is
        what this very call was approved for before, as a schedule's was when it was made.
        """
        foreign = False
        try:
            tool = self._find(name)
            parameters = _read_arguments(tool, arguments)
            context = await self._admitted(tool, parameters, context, approved)
            foreign = tool.foreign
            result = result_of(await tool.run(parameters, context))
        except MicroclawError as exc:
            result = result_of_error(exc)
        return replace(result, foreign=True) if foreign else result

    async def _admitted(
        self, tool: Tool[Any], parameters: Parameters, context: ToolContext, approved: Permission | None
    ) -> ToolContext:
        """The context to run it in. Raises PermissionRefused."""
        action = action_text(tool.name, parameters)
        permission = await self._weighed(tool, parameters, context, action)
        if tool.previews:
            self._gate.check(context.person_id, permission, action)
            return replace(context, approve=self._asking(permission, context, approved))
        if not self._gate.needs_approval(permission, tainted=context.foreign):
            await self._asking(permission, context, approved)(action, ())
            return context
        meant = await _meaning(tool, parameters, context)

        async def check_unchanged() -> None:
            now = (await self._weighed(tool, parameters, context, action), await _meaning(tool, parameters, context))
            if now != (permission, meant):
                text = f"what {action} means changed while somebody was asked, so it was not done"
                raise PermissionRefused(text, next_step="ask for it again")

        lines = (*argument_lines(parameters), *meant)
        await self._asking(permission, context, approved, check_unchanged)(action, lines)
        return context

    async def _weighed(self, tool: Tool[Any], parameters: Parameters, context: ToolContext, action: str) -> Permission:
        self._gate.check(context.person_id, tool.permission, action)  # first: weighing may look at a device
        return tool.permission if tool.weigh is None else await tool.weigh(parameters, context)

    def _asking(
        self,
        permission: Permission,
        context: ToolContext,
        approved: Permission | None,
        check_unchanged: Callable[[], Awaitable[None]] = _nothing_to_check,
    ) -> Approve:
        async def approve(text: str, detail: Sequence[str]) -> None:
            if approved is not None and _WEIGHT[permission] <= _WEIGHT[approved] and not context.foreign:
                self._gate.check(context.person_id, permission, text)
            else:
                await self._gate.admit(
                    context.person_id,
                    permission,
                    text,
                    tainted=context.foreign,
                    detail=detail,
                    channel=context.channel,
                    chat_id=context.chat_id,
                )
            await check_unchanged()
            await context.begin()

        return approve

    def _find(self, name: str) -> Tool[Any]:
        tool = self._named(name)
        if tool is None:
            names = [tool.name for tool in self.tools]
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ToolRetry(f"there is no tool {name[:80]!r}", next_step=f"{hint}tools: {', '.join(names)}")
        return tool

    def _named(self, name: str) -> Tool[Any] | None:
        return self._tools.get(name) or next((tool for tool in self._coming() if tool.name == name), None)


async def _meaning(tool: Tool[Any], parameters: Parameters, context: ToolContext) -> tuple[str, ...]:
    """What the arguments name at this moment: a device that was left out, the change that an undo takes back."""
    return () if tool.means is None else tuple(await tool.means(parameters, context))


def _spec(tool: Tool[Any]) -> ToolSpec:
    return ToolSpec(tool.name, tool.description, schema_of(tool.parameters))


def schema_of(parameters: type[Parameters]) -> str:
    """A tool's arguments as a JSON schema document, without what a model has no use for."""
    schema = parameters.model_json_schema(by_alias=True)
    schema.pop("title", None)
    schema.pop("description", None)
    for field in schema.get("properties", {}).values():
        field.pop("title", None)
    return json.dumps(schema, separators=(",", ":"))


def _read_arguments(tool: Tool[Any], arguments: str) -> Parameters:
    """Raises ToolRetry naming the fault and the right form."""
    if len(arguments) > MAX_ARGUMENT_BYTES:
        raise ToolRetry(
            f"the arguments of {tool.name} have {len(arguments)} characters, at most {MAX_ARGUMENT_BYTES} are allowed"
        )
    try:
        parameters = tool.parameters.model_validate_json(arguments.strip() or "{}")
    except ValidationError as exc:
        faults = "; ".join(_fault(e) for e in exc.errors(include_url=False, include_input=False)[:5])
        raise ToolRetry(f"wrong arguments for {tool.name}: {faults}", next_step=_right_form(tool)) from exc
    assert isinstance(parameters, Parameters)
    return parameters


def _fault(error: Any) -> str:
    place = ".".join(str(p) for p in error["loc"]) or "arguments"
    return f"{place}: {error['msg']}"


def _right_form(tool: Tool[Any]) -> str:
    fields = []
    for name, field in tool.parameters.model_fields.items():
        shown = field.alias or name
        fields.append(shown if field.is_required() else f"{shown} (optional)")
    return f"give one JSON object with: {', '.join(fields) or 'no fields'}"
