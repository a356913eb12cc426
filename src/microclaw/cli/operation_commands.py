"""The commands of the declared acts (operations/): arguments, options and help, the call of the host, its print."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from typing import Annotated, Any, get_args, get_origin

import msgspec
import typer
from msgspec import UNSET

from microclaw.cli.many_devices import ask_once, choice_body, chosen_device, device_with_program, end_many
from microclaw.cli.options import GlobalOptions, command_group, global_options
from microclaw.cli.steps import follow
from microclaw.cli.targets import is_address
from microclaw.errors import ConfigError
from microclaw.operations.client import Client, as_result
from microclaw.operations.nouns import BELOW
from microclaw.operations.operation import Call, Operation, Parameter, Permission, load
from microclaw.operations.result import Listing


def group(word: str, by_hand: typer.Typer | None = None) -> typer.Typer:
    """`microclaw WORD`: the commands of its nouns' acts, and those that are there `by_hand`, which go before."""
    made = by_hand or command_group()
    there = {one.name or one.callback.__name__ for one in made.registered_commands if one.callback}
    found: dict[str, list[Operation[..., Any]]] = {}
    for noun in (word, *(one for one, above in BELOW.items() if above == word)):
        for act in load(noun):
            if act.is_command and (verb := act.command or act.verb) not in there:
                found.setdefault(verb, []).append(act)
    for verb, acts in found.items():
        made.command(verb)(_command(*acts))
    return made


def _command(first: Operation[..., Any], *others: Operation[..., Any]) -> Any:
    """One of `others` is done where its needed parameter is given, else the first."""
    shown: dict[str, tuple[Parameter, list[Operation[..., Any]]]] = {}
    for act in (first, *others):
        for one in act.parameters:
            if not one.option.hidden and not _is_flag(one):
                name = f"{act.verb}_{one.name}".replace("-", "_") if _needed(one) else one.name
                shown.setdefault(name, (one, []))[1].append(act)

    def run(ctx: typer.Context, **values: Any) -> None:
        given = [name for name in shown if getattr(ctx.get_parameter_source(name), "name", "") == "COMMANDLINE"]
        act = next((acts[0] for one, acts in (shown[name] for name in given) if _needed(one)), first)
        if stray := [one.name for one, acts in (shown[name] for name in given) if act not in acts]:
            raise typer.BadParameter(f"{stray[0]} is of another use of this command")
        meant = [(one, values[name]) for name, (one, acts) in shown.items() if act in acts]
        own = {one.name: _value(one, word) for one, word in meant if one.option.reads is None or word is not None}
        (perform if act.here is None else _here)(global_options(ctx), act, own)

    ctx = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    made = (_of_typer(name, one, is_needed=_needed(one) and first in acts) for name, (one, acts) in shown.items())
    ordered = sorted(made, key=lambda one: one.default is not inspect.Parameter.empty)
    run.__signature__ = inspect.Signature([ctx, *ordered])  # type: ignore[attr-defined]  # typer reads it
    run.__doc__ = "\n\n".join((first.help, *(act.summary for act in others)))
    return run


def _needed(one: Parameter) -> bool:
    return one.default is msgspec.NODEFAULT or (one.option.rest and one.default is None)


def _value(one: Parameter, given: Any) -> Any:
    if one.option.reads is not None:
        return one.option.reads(given)
    return given if not one.option.rest else given or [] if _is_list(one) else " ".join(given or []).strip()


def _here(options: GlobalOptions, act: Operation[..., Any], values: dict[str, Any]) -> None:
    """Do an act that needs no host: who sits at this machine is the owner."""
    if (wrong := act.check(values)) is not None:
        raise typer.BadParameter(wrong)

    async def approve(*_: object) -> None: ...

    async def made() -> Any:
        service = act.here and act.here(options.settings())
        return await act.run(service, Call("owner", approve, options.terminal().step, direct=True), **values)

    show(options, act, asyncio.run(made()))


def _is_flag(one: Parameter) -> bool:
    """-d is of every command."""
    return one.name == "device" and not one.option.argument


def _is_list(one: Parameter) -> bool:
    return get_origin(one.kind) is list


def perform(options: GlobalOptions, act: Operation[..., Any], values: dict[str, Any]) -> None:
    """Do an act as a command does: on the devices of -d, -l or --all, with its steps and its question shown."""
    host = options.host()
    if act.many is not None and not options.chooses_many and options.device and is_address(options.device):
        raise ConfigError(
            f"to {act.verb} it needs the host that installed it: it has the image",
            next_step="microclaw up, then the device's name with -d",
        )
    if act.many is not None and options.chooses_many:
        _on_many(options, host, act, values)
        return
    if any(map(_is_flag, act.parameters)):
        values = values | {"device": _device(options, host, act, values)}
    chooses = {"devices", "labels"} <= {one.name for one in act.parameters}
    if chooses:
        values = values | choice_body(options)
    if (wrong := act.check(values)) is not None:
        raise typer.BadParameter(wrong)
    if (question := act.question(values)) is not None:
        options.agree(question)
    if chooses:
        ask_once(options, host, f"{act.asked(values)} on")
    show(options, act, done(options, host, act, values))


def _device(options: GlobalOptions, host: Client, act: Operation[..., Any], values: Mapping[str, Any]) -> str | None:
    """The device that is meant, where one has to be."""
    if "device" not in act.in_path or options.device:
        return options.device
    return device_with_program(options, host, values["name"]) if "name" in act.in_path else chosen_device(options, host)


def _on_many(options: GlobalOptions, host: Client, act: Operation[..., Any], values: Mapping[str, Any]) -> None:
    many = act.of_many
    values = {**values, **choice_body(options)}
    if (wrong := many.check(values)) is not None:
        raise typer.BadParameter(wrong)
    if act.permission is not Permission.READ:
        asked = act.asked({**values, "device": ""}).strip()
        ask_once(options, host, f"{asked[:1].upper()}{asked[1:]}")
    made = done(options, host, many, values)
    if not act.steps and not options.json:
        for row in made.results:
            told = row.made.told if row.error is UNSET else row.error["message"]
            options.line(f"{row.device}: {told}")
    end_many(options, act.result.documents or f"{act.result.document or act.noun}s", msgspec.to_builtins(made))


def done(options: GlobalOptions, host: Client, act: Operation[..., Any], values: Mapping[str, Any]) -> Any:
    """The result of an act; its steps are shown."""
    if not act.steps:
        return host.call(act, **values)
    path, query, body = act.request(values)
    return as_result(act, follow(options, host, path, body, method=act.method, query=query))


def _plain(kind: Any) -> Any:
    """typer knows no bounds of a list's items; the act checks them."""
    items = get_args(kind)
    return list[get_args(items[0])[0]] if get_origin(kind) is list and hasattr(items[0], "__metadata__") else kind  # type: ignore[misc]


def _of_typer(name: str, one: Parameter, *, is_needed: bool) -> inspect.Parameter:
    """A parameter that must be given is an argument, another one an option."""
    option, about = one.option, one.meta.description
    kind = list[str] if option.rest else option.told or _plain(one.kind)
    is_argument = option.rest or option.argument or (_needed(one) and not option.flag)
    metavar = option.metavar or (one.name.upper() if is_argument else None)
    how: Any
    if is_argument:
        how = typer.Argument(metavar=metavar, help=about)
    else:
        how = typer.Option(*(option.flag or f"--{one.name.replace('_', '-')}").split("/"), metavar=metavar, help=about)
    default = inspect.Parameter.empty if is_needed else None if option.rest or _needed(one) else one.default
    if option.reads is not None:
        kind, default = str if is_needed else str | None, inspect.Parameter.empty if is_needed else None
    if (_needed(one) and not is_needed) or (option.rest and _is_list(one)):
        kind, default = kind | None, None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, how])


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
            options.line(line) if isinstance(line, str) else options.terminal().row(*line)
    if warning := getattr(result, "warning", None):
        options.say(f"careful: {warning}")
    if result.exit_code:
        raise typer.Exit(result.exit_code)
