"""The commands of the declared acts (operations/): arguments, options and help, the call of the host, its steps as they
come, its questions asked, its print.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import click
import msgspec
from click.core import ParameterSource
from click.exceptions import Exit
from msgspec import UNSET, structs

from microclaw.cli.many_devices import ask_once, board_address, choice_body, chosen_device, chosen_names
from microclaw.cli.options import FAILED, INTERRUPTED, SOME_FAILED, GlobalOptions, on_interrupt
from microclaw.devices.selection import names_text
from microclaw.errors import ConfigError, MicroclawError
from microclaw.events import ApprovalSettled, Step
from microclaw.operations.client import Client, request_number
from microclaw.operations.connection import HostError
from microclaw.operations.nouns import BELOW
from microclaw.operations.operation import Call, Operation, Parameter, Permission, approve_all, load
from microclaw.operations.result import Listing
from microclaw.terminal.page import Terminal
from microclaw.wire.host_api import Failure, StreamEvent


def group(word: str, by_hand: click.Group | None = None) -> click.Group:
    """`microclaw WORD`: the commands of its nouns' acts, and those that are there `by_hand`, which go before."""
    made = by_hand or click.Group(no_args_is_help=True)
    found: dict[str, list[Operation[..., Any]]] = {}
    for noun in (word, *(one for one, above in BELOW.items() if above == word)):
        for act in load(noun):
            if act.is_command and (verb := act.command or act.verb) not in made.commands:
                found.setdefault(verb, []).append(act)
    for verb, acts in found.items():
        made.add_command(_command(verb, *acts))
    return made


def _command(verb: str, first: Operation[..., Any], *others: Operation[..., Any]) -> click.Command:
    """One of `others` is done where its needed parameter is given, else the first."""
    shown: dict[str, tuple[Parameter, list[Operation[..., Any]]]] = {}
    for act in (first, *others):
        for one in act.parameters:
            if not one.option.hidden and not _is_flag(one):
                if _needed(one):
                    name = f"{act.verb}_{one.name}".replace("-", "_")
                else:
                    name = one.name
                shown.setdefault(name, (one, []))[1].append(act)

    def run(**values: Any) -> None:
        ctx = click.get_current_context()
        given = [name for name in shown if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE]
        act = next((acts[0] for one, acts in (shown[name] for name in given) if _needed(one)), first)
        stray = [one.name for one, acts in (shown[name] for name in given) if act not in acts]
        if stray:
            raise click.BadParameter(f"{stray[0]} is of another use of this command")
        own = {
            one.name: _value(one, values[name]) if name in given or one.default is msgspec.NODEFAULT else one.default
            for name, (one, acts) in shown.items()
            if act in acts and (name in given or one.default is not UNSET)
        }
        (perform if act.here is None else _here)(ctx.obj, act, own)

    params = [_parameter(name, one, is_needed=_needed(one) and first in acts) for name, (one, acts) in shown.items()]
    about = "\n\n".join((first.help, *(act.summary for act in others)))
    return click.Command(verb, callback=run, params=sorted(params, key=lambda one: not one.required), help=about)


def _needed(one: Parameter) -> bool:
    return one.default is msgspec.NODEFAULT or (one.option.rest and one.default is None)


def _value(one: Parameter, given: Any) -> Any:
    if one.option.rest and get_origin(_kind(one)) is not list:
        return " ".join(given).strip()
    if isinstance(given, tuple):
        return list(given)
    return given


def _here(options: GlobalOptions, act: Operation[..., Any], values: dict[str, Any]) -> None:
    """Do an act that needs no host: who sits at this machine is the owner."""
    wrong = act.check(values)
    if wrong is not None:
        raise click.BadParameter(wrong)
    if act.permission is not Permission.READ:
        options.only_here(f"microclaw {act.noun} {act.verb}")

    async def made() -> Any:
        service = act.here and act.here(options.settings())
        call = Call("owner", options.terminal().step, approve=approve_all, direct=True)
        return await act.run(service, call, **values)

    show(options, act, asyncio.run(made()))


def _is_flag(one: Parameter) -> bool:
    """-d is of every command."""
    return one.name == "device" and not one.option.argument


def perform(options: GlobalOptions, act: Operation[..., Any], values: dict[str, Any]) -> None:
    """Do an act as a command does: on the devices of -d, -l or --all, with its steps and its question shown."""
    address = board_address(options)
    if address is not None:
        _perform_at(options, act, address, values)
        return
    host = options.host()
    if act.many is not None and options.chooses_many:
        act = act.of_many
    names = None
    has_flag = any(map(_is_flag, act.parameters))
    if getattr(act.result, "row_device", "") and (options.chooses_many or (options.devices and not has_flag)):
        if choice_body(options)["all"]:
            names = None
        else:
            names = chosen_names(options, host)
    elif has_flag:
        is_meant = not options.device and "device" in act.in_path
        if "name" in act.in_path:
            name = values["name"]
        else:
            name = None
        values = values | {"device": chosen_device(options, host, name) if is_meant else options.device}
    chooses = {"devices", "labels"} <= {one.name for one in act.parameters}
    if chooses:
        values = values | choice_body(options)
    wrong = act.check(values)
    if wrong is not None:
        raise click.BadParameter(wrong)
    question = act.question(values)
    if question is not None:
        options.agree(question)
    if chooses and act.permission is not Permission.READ:
        asked = act.asked({**values, "device": ""}).strip()
        ask_once(options, host, f"{asked[:1].upper()}{asked[1:]}{'' if act.on_many else ' on'}")
    made = done(options, host, act, values)
    if act.on_many:
        _show_many(options, act, made)
        return
    if names is not None:
        while after := getattr(made, "next", None):
            made = made.joined(done(options, host, act, values | {"after": after}))
        made = made.of_devices(names)
    show(options, act, made)


def _perform_at(options: GlobalOptions, act: Operation[..., Any], address: str, values: dict[str, Any]) -> None:
    """Do an act on the board at an address, without a host; ConfigError if the act needs one."""
    if not act.at_address:
        text = f"{act.noun} {act.verb} needs a host; {address} is a board"
        raise ConfigError(text, next_step="microclaw up, then the device's name with -d")
    from microclaw.cli.direct_programs import DIRECT

    DIRECT[act.name](options, address, values)


def _show_many(options: GlobalOptions, act: Operation[..., Any], made: Any) -> None:
    """Print a line for each device, or one document. Exit code 5 when some failed, 1 when all did.

    A program that was not verified counts as failed.
    """
    if not act.steps and not options.json:
        for row in made.results:
            if row.error is UNSET:
                told = row.made.told
            else:
                told = row.error["message"]
            options.line(f"{row.device}: {told}")
    failed = sum(one.error is not UNSET or getattr(one.made, "verified", None) is False for one in made.results)
    (kind,) = get_args(act.result)
    if not options.wrote_json(kind.documents or f"{kind.document or act.noun}s", msgspec.to_builtins(made)):
        if made.left_out:
            left_out = f"; left out: {names_text(made.left_out)}"
        else:
            left_out = ""
        waiting = sum(bool(getattr(one.made, "deferred", None)) for one in made.results)
        if waiting:
            later = f", {waiting} of them deferred until they are back"
        else:
            later = ""
        options.say(f"{len(made.results) - failed} of {len(made.results)} devices{later}{left_out}")
    if failed:
        raise Exit(FAILED if failed == len(made.results) else SOME_FAILED)


def _parameter(name: str, one: Parameter, *, is_needed: bool) -> click.Parameter:
    """A parameter that must be given is an argument, another one an option. The act checks bounds."""
    option = one.option
    about = one.meta.description
    kind = _kind(one)
    is_many = get_origin(kind) is list
    what = option.reads or (_bare(get_args(kind)[0]) if is_many else str if option.rest else kind)
    if get_origin(kind) is Literal:
        what = click.Choice(get_args(kind))
    has_none = _needed(one) or is_many or option.rest or option.reads is not None or one.default is UNSET
    default = None if has_none else one.default
    if option.rest or option.argument or (_needed(one) and not option.flag):
        metavar = option.metavar or one.name.upper()
        count = -1 if option.rest else 1
        is_needed = is_needed and not (option.rest and is_many)  # no words are an empty list
        if is_needed or metavar.startswith("["):
            metavar = metavar
        else:
            metavar = f"[{metavar}]"
        given = {} if is_needed else {"default": default}  # click takes None for a value of what must be given
        return click.Argument([name], is_needed, about, metavar=metavar, type=what, nargs=count, **given)
    flags = (option.flag or f"--{one.name.replace('_', '-')}").split("/")
    if what is bool:
        how: dict[str, Any] = {"is_flag": True}
    else:
        how = {"multiple": is_many, "metavar": option.metavar}
    return click.Option([*flags, name], type=what, default=default, help=about, **how)


def _kind(one: Parameter) -> Any:
    """Its type where it is given, without what is said of it."""
    kind = one.option.told or one.kind
    if get_origin(kind) in (Union, UnionType):
        kind = next(each for each in get_args(kind) if each is not NoneType)
    return _bare(kind)


def _bare(kind: Any) -> Any:
    if hasattr(kind, "__metadata__"):
        return get_args(kind)[0]
    return kind


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
    warning = getattr(result, "warning", None)
    if warning:
        options.say(f"careful: {warning}")
    if result.exit_code:
        raise Exit(result.exit_code)


_STOPPED_LISTENING = Failure(
    "interrupted",
    "interrupted: a change that has begun is finished by the host, any other is not made",
    "microclaw app changes shows it, microclaw app undo takes it back",
    exit_code=INTERRUPTED,
)


def done(options: GlobalOptions, host: Client, act: Operation[..., Any], values: Mapping[str, Any]) -> Any:
    """The result of an act; its steps are shown. Raises HostError if it failed.

    With steps the first Ctrl-C cancels what has changed nothing yet; the next one stops listening.
    """
    if not act.steps:
        return host.call(act, **values)
    terminal = options.terminal()
    number = request_number()

    def stop() -> None:
        try:
            state = host.cancel(number)
        except MicroclawError as exc:  # a host that cannot cancel, or none
            raise KeyboardInterrupt from exc
        if state == "unknown":
            raise KeyboardInterrupt
        if state == "begun":
            terminal.row("", "the change has begun: the host finishes it. Ctrl-C again stops listening only")
            terminal.row("next", "see it: microclaw app changes; take it back: microclaw app undo")

    try:
        with on_interrupt(stop, once=True):
            return host.watching(stages(options, terminal), number=number).call(act, **values)
    except KeyboardInterrupt as exc:
        raise HostError(_STOPPED_LISTENING) from exc


MAX_REASON_CHARS = 60


def stages(options: GlobalOptions, terminal: Terminal) -> Callable[[StreamEvent], None]:
    """Shows the stages of work, with -q and --json none. One that failed waits for the next event: of what the error
    that ends the command says, too, only the reason is shown."""
    failed: Step | None = None

    def show_event(event: StreamEvent) -> None:
        nonlocal failed
        if failed is not None:
            terminal.step(_told_by(event, failed) if isinstance(event, Failure) else failed)
        failed = None
        if isinstance(event, Step) and not (options.quiet or options.json):
            if event.state == "failed":
                failed = event
            else:
                terminal.step(event)
        elif isinstance(event, ApprovalSettled):
            terminal.event(event)

    return show_event


def _told_by(failure: Failure, step: Step) -> Step:
    texts = (failure.message, *(str(diagnostic["text"]) for diagnostic in failure.diagnostics))
    told = {line.strip() for text in texts for line in text.splitlines()}
    wanted = {line.strip() for text in (step.text, *step.detail) for line in text.splitlines()}
    if not (wanted <= told and (failure.next_step or "").startswith(step.next_step or "")):
        return step
    line = step.text.strip().partition("\n")[0]  # who sees stdout alone must not guess
    if len(line) <= MAX_REASON_CHARS:
        line = line
    else:
        line = f"{line[: MAX_REASON_CHARS - 1]}…"
    return structs.replace(step, text=line, detail=(), next_step=None)
