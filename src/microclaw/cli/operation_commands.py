"""The commands of the declared acts (operations/): arguments, options and help, the call of the host, its print."""

from __future__ import annotations

import asyncio
import inspect
from typing import Annotated, Any

import msgspec
import typer

from microclaw.cli.options import GlobalOptions, command_group, global_options
from microclaw.operations.operation import Call, Operation, Parameter, load
from microclaw.operations.result import Listing


def group(noun: str, by_hand: typer.Typer | None = None) -> typer.Typer:
    """`microclaw NOUN`: a command for each of its acts, and those that are there `by_hand`."""
    made = by_hand or command_group()
    for act in load(noun):
        if act.is_command:
            made.command(act.verb)(_command(act))
    return made


def _command(act: Operation[..., Any]) -> Any:
    shown = [one for one in act.parameters if not one.option.hidden and one.name != "device"]  # -d is of every command
    takes_device = any(one.name == "device" for one in act.parameters)

    def run(ctx: typer.Context, **values: Any) -> None:
        options = global_options(ctx)
        for one in shown:
            if one.option.rest:
                values[one.name] = " ".join(values[one.name] or ()).strip()
        if takes_device:
            values["device"] = options.device
        if (wrong := act.check(values)) is not None:
            raise typer.BadParameter(wrong)
        if act.confirm is not None and not options.json:
            options.agree(act.confirm.format_map(values))
        show(options, act, _result(options, act, values))

    first = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    ordered = sorted((_of_typer(one) for one in shown), key=lambda one: one.default is not inspect.Parameter.empty)
    run.__signature__ = inspect.Signature([first, *ordered])  # type: ignore[attr-defined]  # typer reads it
    run.__doc__ = act.help
    return run


def _result(options: GlobalOptions, act: Operation[..., Any], values: dict[str, Any]) -> Any:
    if act.here is None:
        return options.host().call(act, **values)

    async def approve(*_: object) -> None:
        """Who sits at this machine is the owner."""

    async def done(service: Any) -> Any:
        return await act.run(service, Call("owner", approve, options.terminal().step, direct=True), **values)

    return asyncio.run(done(act.here(options.settings())))


def _of_typer(one: Parameter) -> inspect.Parameter:
    """A parameter that must be given is an argument, another one an option."""
    option, about = one.option, one.meta.description
    kind = list[str] if option.rest else one.option.told or one.kind
    is_argument = option.rest or option.argument or (one.default is msgspec.NODEFAULT and not option.flag)
    metavar = option.metavar or (one.name.upper() if is_argument else None)
    how: Any
    if is_argument:
        how = typer.Argument(metavar=metavar, help=about)
    else:
        how = typer.Option(*(option.flag or f"--{one.name.replace('_', '-')}").split("/"), metavar=metavar, help=about)
    is_needed = one.default is msgspec.NODEFAULT or (option.rest and one.default is None)
    default = inspect.Parameter.empty if is_needed else None if option.rest else one.default
    return inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, how])


def show(options: GlobalOptions, act: Operation[..., Any], result: Any) -> None:
    """Print a result: the document with --json, else its table, its sentence or its lines."""
    if options.wrote_json(result.document or act.noun, msgspec.to_builtins(result)):
        pass
    elif isinstance(result, Listing):
        options.table(result.table(), head=tuple(result.columns), empty=result.empty)
        if result.note:
            options.say(f"\n{result.note}")
    elif (sentence := act.sentence(result)) is not None:
        options.say(sentence)
    else:
        for line in result.lines():
            options.line(line)
    if warning := getattr(result, "warning", None):
        options.say(f"careful: {warning}")
    if result.exit_code:
        raise typer.Exit(result.exit_code)
