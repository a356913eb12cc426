"""The commands of the declared acts (operations/): their arguments, options and help, the host's call, the output."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, get_args, get_origin

import click
import msgspec
from click.core import ParameterSource
from click.exceptions import Exit
from msgspec import UNSET, structs

from microclaw.conversion import convert
from microclaw.devices.registry.selection import names_text
from microclaw.errors import ConfigError, MicroclawError, PermissionRefused, PinCaution
from microclaw.events import ApprovalSettled, Step
from microclaw.host.operations.client import Client, request_number
from microclaw.host.operations.connection import HostError
from microclaw.host.operations.forms import Steps
from microclaw.host.operations.operation import Operation, OperationCall, Parameter, Permission, approve_all, load
from microclaw.host.operations.operation_modules import BELOW, is_served
from microclaw.host.operations.result import Listing
from microclaw.interfaces.cli.command_parameters import build_parameter, is_device_option, is_required, kind_of
from microclaw.interfaces.cli.options import (
    FAILED,
    INTERRUPTED,
    SOME_FAILED,
    GlobalOptions,
    ValueCommand,
    on_interrupt,
)
from microclaw.interfaces.cli.targets import board_address, choice_fields, chosen_device, chosen_names, confirm_many
from microclaw.interfaces.terminal.page import Terminal
from microclaw.wire.host_api import StreamEvent, StreamFailure, StreamResult, failure_of

if TYPE_CHECKING:
    from microclaw.hardware.boards.profile import BoardProfile

MAX_REASON_CHARS: Final = 60
_Act: TypeAlias = Operation[..., Any, Any]
_STOPPED_LISTENING: Final = StreamFailure(
    "interrupted",
    "interrupted: the host finishes a change that has begun, and makes no other",
    "see it: microclaw app changes; revert it: microclaw app undo",
    exit_code=INTERRUPTED,
)


def group(word: str, by_hand: click.Group | None, rooms: Collection[str]) -> click.Group:
    """Return `microclaw WORD` with the commands of all acts of its nouns, as far as these rooms serve them.

    Commands that are in `by_hand` already take precedence over acts with the same verb.
    """
    commands = copy(by_hand or click.Group(no_args_is_help=True))
    commands.commands = dict(commands.commands)
    nouns = [noun for noun in (word, *BELOW) if BELOW.get(noun, word) == word and is_served(noun, rooms)]
    acts_by_verb: dict[str, list[_Act]] = {}
    for noun in nouns:
        for act in load(noun):
            verb = act.command.verb or act.verb
            if act.command.is_derived and verb not in commands.commands:
                acts_by_verb.setdefault(verb, []).append(act)
    for verb, acts in acts_by_verb.items():
        commands.add_command(_build_command(verb, acts))
    return commands


class _ShownParameter(NamedTuple):
    """A parameter of a command, and the acts that take it."""

    parameter: Parameter
    acts: list[_Act]


_Shown: TypeAlias = dict[str, _ShownParameter]
"""The parameters of a command by their names in click."""


def _build_command(verb: str, acts: Sequence[_Act]) -> click.Command:
    """Build the command of the acts with the same verb.

    It runs the first act, unless the required parameter of another one is typed.
    """
    first = acts[0]
    shown = _collect_parameters(acts)

    def run(**values: Any) -> None:
        ctx = click.get_current_context()
        typed = [name for name in shown if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE]
        act = _select_act(shown, typed, first)
        arguments = _act_arguments(act, shown, typed, values)
        if act.here is None:
            perform(ctx.obj, act, arguments)
        else:
            _perform_here(ctx.obj, act, arguments)

    params = []
    for name, row in shown.items():
        is_needed = is_required(row.parameter) and first in row.acts
        params.append(build_parameter(name, row.parameter, is_needed=is_needed))
    params.sort(key=lambda param: not param.required)
    paragraphs = [first.help, *(act.summary for act in acts[1:])]
    if first.command.at_address:
        paragraphs.append("With -d HOST:PORT, without a host.")
    return ValueCommand(verb, callback=run, params=params, help="\n\n".join(paragraphs))


def _collect_parameters(acts: Sequence[_Act]) -> _Shown:
    """Collect the parameters of all acts. Acts share an optional one of the same name, but not a required one."""
    shown: _Shown = {}
    for act in acts:
        for parameter in act.parameters:
            if parameter.option.hidden or is_device_option(parameter):
                continue
            name = parameter.name
            if is_required(parameter):
                name = f"{act.verb}_{name}".replace("-", "_")
            row = shown.setdefault(name, _ShownParameter(parameter, []))
            row.acts.append(act)
    return shown


def _select_act(shown: _Shown, typed: Sequence[str], first: _Act) -> _Act:
    """Return the act whose required parameter was typed, else the first. Raises BadParameter for one of another act."""
    rows = [shown[name] for name in typed]
    act = first
    for row in rows:
        if is_required(row.parameter):
            act = row.acts[0]
            break
    for row in rows:
        if act not in row.acts:
            raise click.BadParameter(f"{row.parameter.name} belongs to another use of this command")
    return act


def _act_arguments(act: _Act, shown: _Shown, typed: Collection[str], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of an act: the typed values and the defaults. One whose default is UNSET is left out."""
    arguments = {}
    for name, row in shown.items():
        parameter = row.parameter
        is_typed = name in typed
        if act not in row.acts or (parameter.default is UNSET and not is_typed):
            continue
        if is_typed or parameter.default is msgspec.NODEFAULT:
            arguments[parameter.name] = _convert_value(parameter, values[name])
        else:
            arguments[parameter.name] = parameter.default
    return arguments


def _convert_value(parameter: Parameter, value: Any) -> Any:
    """Convert a value of click to a value for the host: a list, or one text of all words."""
    if parameter.option.rest and get_origin(kind_of(parameter)) is not list:
        return " ".join(value).strip()
    if isinstance(value, tuple):
        return list(value)
    return value


def _perform_here(options: GlobalOptions, act: _Act, values: dict[str, Any]) -> None:
    """Run an act in this process, without a host. The user of this machine has the rights of the owner."""
    _check_values(act, values)
    if act.permission is not Permission.READ:
        options.only_here(f"microclaw {act.noun} {act.verb}")

    async def run() -> Any:
        service = act.here and act.here(options.settings())
        call = OperationCall("owner", options.terminal().step, approve=approve_all, direct=True)
        return await act.run(service, call, **values)

    show(options, act, asyncio.run(run()))


def perform(options: GlobalOptions, act: _Act, values: dict[str, Any], board: BoardProfile | None = None) -> None:
    """Run an act as a command does: on the devices of -d, -l or --all; show its steps, its question and its result.

    `board` is what is at an address, if it is not like a virtual board.
    """
    address = board_address(options)
    if address is not None:
        _perform_at(options, act, values | {"device": address}, board)
        return
    host = options.host()
    if act.many is not None and options.chooses_many:
        act = act.of_many
    takes_device = any(is_device_option(parameter) for parameter in act.parameters)
    has_choice = options.chooses_many or (bool(options.devices) and not takes_device)
    row_names = None
    if getattr(act.result, "row_device", "") and has_choice:
        row_names = _choose_rows(options, host)
    elif takes_device:
        values = values | {"device": _choose_device(options, host, act, values)}
    takes_choice = {"devices", "labels"} <= {parameter.name for parameter in act.parameters}
    if takes_choice:
        values = values | choice_fields(options)
    _check_values(act, values)
    question = act.question(values)
    if question is not None:
        options.agree(question)
    if takes_choice and act.permission is not Permission.READ:
        confirm_many(options, host, _describe_act(act, values))
    result = run_act(options, host, act, values)
    if act.on_many:
        _show_many(options, act, result)
        return
    if row_names is not None:
        pages = _fetch_pages(options, host, act, values, result)
        result = pages.of_devices(row_names)
    show(options, act, result)


def _fetch_pages(options: GlobalOptions, host: Client, act: _Act, values: Mapping[str, Any], first: Any) -> Any:
    """Return a list with the rows of all pages after the first one."""
    result = first
    while after := getattr(result, "next", None):
        result = result.joined(run_act(options, host, act, {**values, "after": after}))
    return result


def _choose_rows(options: GlobalOptions, host: Client) -> list[str] | None:
    """Return the names of the devices whose rows are shown, or None for all rows."""
    if choice_fields(options)["all"]:
        return None
    return chosen_names(options, host)


def _choose_device(options: GlobalOptions, host: Client, act: _Act, values: Mapping[str, Any]) -> str | None:
    """Return the device of -d; without -d the only possible device, if the act's path needs one, else None."""
    if options.device or "device" not in act.in_path:
        return options.device
    if "name" in act.in_path:
        return chosen_device(options, host, values["name"])
    return chosen_device(options, host)


def _describe_act(act: _Act, values: Mapping[str, Any]) -> str:
    """Return the act in words that a number of devices can follow, as "Install blink on"."""
    text = act.asked({**values, "device": ""}).strip()
    text = text[:1].upper() + text[1:]
    if act.on_many:
        return text
    return f"{text} on"


def _check_values(act: _Act, values: dict[str, Any]) -> None:
    """Raise BadParameter if the act does not accept the values."""
    fault = act.check(values)
    if fault is not None:
        raise click.BadParameter(fault)


def _perform_at(options: GlobalOptions, act: _Act, values: dict[str, Any], board: BoardProfile | None) -> None:
    """Run an act on the board at an address, without a host. Raises ConfigError if the act needs one."""
    address = values["device"]
    if not act.command.at_address:
        text = f"{act.noun} {act.verb} needs a host; {address} is a board"
        raise ConfigError(text, next_step="microclaw up, then the device's name with -d")
    if values.get("when_back"):
        raise click.BadParameter("--when-back has no effect with -d HOST:PORT")
    _check_values(act, values)
    options.only_here(f"microclaw {act.noun} {act.verb} -d {address}")
    # With the compiler, which runs in the host otherwise.
    from microclaw.programs.changes.without_host import programs_at, without_number

    report = show_stages(options, options.terminal())
    arguments = structs.asdict(convert(values, act.form))

    async def run() -> Any:
        call = OperationCall("owner", report, approve=partial(_agree, options), direct=True, asks=False)
        async with programs_at(options.settings(), address, board) as service:
            return await act.run(service, call, **arguments)

    try:
        result = asyncio.run(run())
    except MicroclawError as exc:
        # Of several stages one is shown as failed; of a single stage the error says it.
        if act.steps is Steps.CANCELLABLE:
            report(failure_of(exc))
        raise
    # A last event shows a failed stage that did not end the work.
    report(StreamResult({}))
    show(options, act, without_number(result))


async def _agree(options: GlobalOptions, text: str, *_: object) -> None:
    """Ask at the terminal for a program on the network: all else is approved by the command itself."""
    if not options.confirm(f"{text}?"):
        raise PermissionRefused(f"declined, so it was not done: {text}")


def _show_many(options: GlobalOptions, act: _Act, result: Any) -> None:
    """Print a line for each device, or one document. Exit code 5 if some devices failed, 1 if all did.

    A program that was not verified counts as failed.
    """
    if not act.steps and not options.json:
        for row in result.results:
            text = row.made.told if row.error is UNSET else row.error["message"]
            options.line(f"{row.device}: {text}")
    device_count = len(result.results)
    failed_count = sum(_has_failed(row) for row in result.results)
    (kind,) = get_args(act.result)
    schema = kind.documents or f"{kind.document or act.noun}s"
    if not options.wrote_json(schema, msgspec.to_builtins(result)):
        summary = f"{device_count - failed_count} of {device_count} devices"
        deferred_count = sum(bool(getattr(row.made, "deferred", None)) for row in result.results)
        if deferred_count:
            summary += f", {deferred_count} of them deferred until they are back"
        if result.left_out:
            summary += f"; left out: {names_text(result.left_out)}"
        options.say(summary)
    if failed_count == device_count:
        raise Exit(FAILED)
    if failed_count:
        raise Exit(SOME_FAILED)


def _has_failed(row: Any) -> bool:
    return row.error is not UNSET or getattr(row.made, "verified", None) is False


def show(options: GlobalOptions, act: _Act, result: Any) -> None:
    """Print a result: the document with --json, else its table, its sentence or its lines."""
    if not options.wrote_json(result.document or act.noun, msgspec.to_builtins(result)):
        _print_result(options, act, result)
    warning = getattr(result, "warning", None)
    if warning:
        options.say(f"careful: {warning}")
    if result.exit_code:
        raise Exit(result.exit_code)


def _print_result(options: GlobalOptions, act: _Act, result: Any) -> None:
    if isinstance(result, Listing):
        options.table(result.table(), head=tuple(result.columns), empty=result.empty)
        if result.note:
            options.say(f"\n{result.note}")
        return
    sentence = act.sentence(result)
    if sentence is not None:
        options.say(sentence)
        return
    for line in result.lines():
        if isinstance(line, str):
            options.line(line)
        else:
            options.terminal().row(*line)


def run_act(options: GlobalOptions, host: Client, act: _Act, values: Mapping[str, Any]) -> Any:
    """Run an act. At a terminal a pin that needs care is asked about; --yes is a yes, too."""
    try:
        return _run_act(options, host, act, values)
    except HostError as exc:
        may_ask = options.yes or sys.stdin.isatty()
        if exc.code != PinCaution.code or not may_ask:
            raise
        if not options.confirm(f"{exc.message}. Do it?"):
            raise
    return _run_act(options, host, act, {**values, "force": True})


def _run_act(options: GlobalOptions, host: Client, act: _Act, values: Mapping[str, Any]) -> Any:
    """Return the result of an act, and show its steps. Raises HostError if it failed.

    While steps are shown, the first Ctrl-C cancels the act if it has changed nothing yet; the next one stops listening.
    """
    if not act.steps:
        return host.call(act, **values)
    terminal = options.terminal()
    number = request_number()

    def stop() -> None:
        try:
            state = host.cancel(number)
        # The host cannot cancel, or it has ended.
        except MicroclawError as exc:
            raise KeyboardInterrupt from exc
        if state == "unknown":
            raise KeyboardInterrupt
        if state == "begun":
            terminal.row("", "the change has begun: the host finishes it. Ctrl-C again only stops listening")
            terminal.row("next", "see it: microclaw app changes; revert it: microclaw app undo")

    try:
        with on_interrupt(stop, once=True):
            return host.watching(show_stages(options, terminal), number=number).call(act, **values)
    except KeyboardInterrupt as exc:
        raise HostError(_STOPPED_LISTENING) from exc


def show_stages(options: GlobalOptions, terminal: Terminal) -> Callable[[StreamEvent], None]:
    """Return a function that shows the stages of work as they come, none with -q and --json.

    A failed stage is shown at the next event: if that is the error that ends the command and it repeats the stage's
    text, only the stage's reason is shown.
    """
    failed: Step | None = None

    def show_event(event: StreamEvent) -> None:
        nonlocal failed
        if failed is not None:
            terminal.step(_without_repetition(failed, event))
        failed = None
        if isinstance(event, Step) and not (options.quiet or options.json):
            if event.state == "failed":
                failed = event
            else:
                terminal.step(event)
        elif isinstance(event, ApprovalSettled):
            terminal.event(event)

    return show_event


def _without_repetition(step: Step, event: StreamEvent) -> Step:
    """Return a failed step, cut to its first line if the following failure repeats all of its text."""
    if not isinstance(event, StreamFailure):
        return step
    diagnostics = [str(diagnostic["text"]) for diagnostic in event.diagnostics]
    is_repeated = _stripped_lines([step.text, *step.detail]) <= _stripped_lines([event.message, *diagnostics])
    if not is_repeated or not (event.next_step or "").startswith(step.next_step or ""):
        return step
    # A reader who sees only stdout still needs the reason.
    reason = step.text.strip().partition("\n")[0]
    if len(reason) > MAX_REASON_CHARS:
        reason = f"{reason[: MAX_REASON_CHARS - 1]}…"
    return structs.replace(step, text=reason, detail=(), next_step=None)


def _stripped_lines(texts: Sequence[str]) -> set[str]:
    lines: set[str] = set()
    for text in texts:
        lines.update(line.strip() for line in text.splitlines())
    return lines
