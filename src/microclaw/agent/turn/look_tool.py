"""The tool `look`: it runs the declared acts that only read and have no tool of their own. It declares no act."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta
from msgspec.structs import asdict, replace

from microclaw.conversion import convert
from microclaw.errors import ToolRetry
from microclaw.host.auth.gate import Gate
from microclaw.host.operations.operation import Access, Effect, Operation, Parameter, Permission, fault, load
from microclaw.host.operations.operation_modules import is_served
from microclaw.host.operations.tool import Parameters, Tool, ToolContext, ToolOutput, output_of
from microclaw.tables import read_table

_TABLE: Final = read_table(__package__, "looking")
BY_TOOL: Final[Mapping[str, str]] = _TABLE["by_tool"]
"""By the name of an act that reads, the tool that does the same or more."""
FOR_NO_MODEL: Final[Mapping[str, str]] = _TABLE["for_no_model"]
"""By the name of an act that reads, why no model gets it."""
OWN_WORDS: Final[frozenset[str]] = frozenset(_TABLE["own_words"])
"""The acts that show no text of strangers, unless their result says so. The result of any other act taints the turn."""


def acts_to_look_at(rooms: Collection[str]) -> dict[str, Operation[..., Any, Any]]:
    """Return the acts that `look` runs on a host with these rooms, by name."""
    acts = sorted(load(), key=lambda act: act.name)
    return {act.name: act for act in acts if _is_looked_at(act) and is_served(act.noun, rooms)}


def look_tool(services: Mapping[str, object], gate: Gate, rooms: Collection[str]) -> Tool[Any]:
    """Build the tool `look`. `services` has the service of each noun; they may be added after this call."""
    acts = acts_to_look_at(rooms)

    async def look(parameters: Any, context: ToolContext) -> ToolOutput:
        values = {name: value for name, value in asdict(parameters).items() if value is not None}
        act = _find_act(acts, values.pop("what"))
        _check_rights(gate, act, context.person_id)
        output = output_of(act, await act.run(services[act.noun], context, **_read(act, values)))
        if act.name in OWN_WORDS:
            return output
        return replace(output, foreign=True)

    names = ", ".join(map(_with_needs, acts.values()))
    return Tool(
        "look",
        f"Read what the host knows. What, and what it needs: {names}.",
        _parameters(acts),
        Permission.READ,
        Effect.READ,
        look,
    )


def _is_looked_at(act: Operation[..., Any, Any]) -> bool:
    reads = act.permission is Permission.READ and act.method == "GET"
    # A tool of one device shows less than the act, which may show all devices.
    has_tool = act.tool is not None and act.tool.fields is None
    return reads and not has_tool and act.name not in {**BY_TOOL, **FOR_NO_MODEL}


def _needs(act: Operation[..., Any, Any]) -> Iterator[Parameter]:
    return (parameter for parameter in act.parameters if parameter.default is msgspec.NODEFAULT)


def _with_needs(act: Operation[..., Any, Any]) -> str:
    """Return the name of an act with its required arguments, as "crash.show(crash_id)"."""
    needs = ", ".join(parameter.name for parameter in _needs(act))
    if needs:
        return f"{act.name}({needs})"
    return act.name


def _parameters(acts: Mapping[str, Operation[..., Any, Any]]) -> type[msgspec.Struct]:
    """Return a form with the arguments of all acts; each act refuses the arguments of others."""
    kinds: dict[str, Any] = {}
    for act in acts.values():
        for parameter in act.parameters:
            kind = str if parameter.option.reads else parameter.kind
            # One name may be a number of one act and a text of another.
            if kinds.setdefault(parameter.name, kind) != kind:
                kinds[parameter.name] = Any
    fields = [(name, kind | None, None) for name, kind in kinds.items()]
    what = ("what", Annotated[str, Meta(max_length=40)])
    return msgspec.defstruct("LookParameters", [what, *fields], bases=(Parameters,), kw_only=True)


def _find_act(acts: Mapping[str, Operation[..., Any, Any]], name: str) -> Operation[..., Any, Any]:
    """Return the act of that name. Raises ToolRetry, which lists similar names."""
    if name in acts:
        return acts[name]
    near = difflib.get_close_matches(name, acts, n=4, cutoff=0.4) or list(acts)
    step = BY_TOOL.get(name, f"what: {', '.join(near)}")
    raise ToolRetry(f"`look` cannot read {name!r}", next_step=step)


def _check_rights(gate: Gate, act: Operation[..., Any, Any], person_id: str) -> None:
    """Raise PermissionRefused if the person may not call this act's route."""
    action = f"look at {act.name}"
    permission = Permission.ACT if act.least is Access.ACT else Permission.READ
    gate.check(person_id, permission, action)
    if act.least > Access.ACT:
        gate.check_owner(person_id, action)


def _read(act: Operation[..., Any, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values in the types of the act's arguments. Raises ToolRetry."""
    options = {parameter.name: parameter.option for parameter in act.parameters}
    arguments = dict(values)
    try:
        for name in values.keys() & options.keys():
            reads = options[name].reads
            if reads is not None:
                arguments[name] = reads(values[name])
        return asdict(convert(arguments, act.form, strict=False))
    except (msgspec.ValidationError, ValueError) as exc:
        names = ", ".join(options) or "nothing else"
        raise ToolRetry(f"{act.name}: {fault(exc)}", next_step=f"{act.name} takes: {names}") from exc
