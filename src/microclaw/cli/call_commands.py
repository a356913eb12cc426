"""`microclaw exec` and `repl`: one device's methods, called through the host, or by an address without one."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Sequence
from typing import Annotated, Any, cast

import typer
from msgspec import to_builtins

from microclaw.apps.device_operations import call_device, show_device
from microclaw.cli.options import GlobalOptions, global_options
from microclaw.devices.call_text import (
    CALLS,
    METHOD_HELP,
    NOT_DIRECT,
    argument_names,
    arguments_from_words,
    call_from,
    method_form,
    result_value,
)
from microclaw.errors import MicroclawError, NoHost
from microclaw.terminal.prompt import line_reader

HELP = "help"
CALL_TIMEOUT_S = 15.0
_HOST_PORT = re.compile(r"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):(\d{1,5})$")
_PREFIXES = ("wasmachine://", "serial:", "virtual:")


def execute(
    ctx: typer.Context,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="DEVICE METHOD [ARG]...",
            help="A device's name, or HOST:PORT without a host (with -d, -l or --all: none), gpio.set, gpio.get, "
            "adc.read, apps.list, ..., and pin=2 level=1, or 2 1",
        ),
    ],
    board: Annotated[str, typer.Option("--board", help="With an address: the board's profile.")] = "virtual",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="For a device that is away, up to 15 s.")] = True,
    force: Annotated[bool, typer.Option("--force", help="Also on a pin that a program has.")] = False,
) -> None:
    """Call one method of a device, or of several."""
    options = global_options(ctx)
    if options.chooses_many:
        _execute_on_many(options, words[0], words[1:], wait=wait, force=force)
        return
    if options.device is not None:
        words = [options.device, *words]
    if len(words) < 2:
        raise typer.BadParameter("give a device and a method: microclaw exec DEVICE gpio.get pin=2")
    target, method, *arguments = words
    values = arguments_from_words(method, arguments)
    outcome = call_target(options, target, board, method, values, wait=wait, force=force)
    print_outcome(options, method, outcome)


def _execute_on_many(options: GlobalOptions, method: str, words: list[str], *, wait: bool, force: bool) -> None:
    from microclaw.cli.many_devices import ask_once, choice_body, end_many
    from microclaw.client.request import HostError
    from microclaw.wire.host_api import failure_from

    values, host = arguments_from_words(method, words), options.host()
    if not method.endswith((".get", ".read", ".list")):
        ask_once(options, host, f"Call {method} on")
    body = {"method": method, "arguments": values, "wait": wait, "force": force, **choice_body(options)}
    done = host.post("/v1/call", body)
    for row in done["results"] if not options.json else ():
        options.line(f"{row['device']}:")
        if "error" in row:
            options.terminal().error(HostError(failure_from(row["error"])))
        else:
            print_outcome(options, method, row["made"])
    end_many(options, "execs", {"method": method, **done})


def print_outcome(options: GlobalOptions, method: str, outcome: dict[str, Any]) -> None:
    """A call's answer as lines, or as one JSON document."""
    if options.wrote_json("exec", {"method": method, **outcome}):
        return
    for key, value in _flat(outcome["result"]):
        options.line(f"{key:<16} {value}" if key else str(value))
    if outcome.get("evidence"):
        options.say(f"({outcome['evidence']['kind']}: {outcome['evidence']['text']})")


def call_target(
    options: GlobalOptions,
    target: str,
    board: str,
    method: str,
    values: dict[str, Any],
    *,
    wait: bool = True,
    force: bool = False,
) -> dict[str, Any]:
    """Through the host for a device's name, directly for an address."""
    if is_address(target):
        options.only_here(f"a call of {target}")
        return {"result": call_directly(target, board, method, values)}
    host, more = options.host(), {"wait": wait, "force": force}
    made = host.call(call_device, device=target, method=method, arguments=values, **more)
    return cast("dict[str, Any]", to_builtins(made))


def _flat(value: Any) -> list[tuple[str, str]]:
    """A result as lines: a list one entry a line, an object one member a line."""
    if isinstance(value, dict):
        lines: list[tuple[str, str]] = []
        for key, member in value.items():
            if isinstance(member, dict):
                lines += [(inner, str(content)) for inner, content in member.items()]
            elif isinstance(member, list) and any(isinstance(entry, dict) for entry in member):
                lines += [(key, _entry(entry)) for entry in member]
            else:
                lines.append((key, _entry(member)))
        return lines
    if isinstance(value, list):
        return [("", _entry(entry)) for entry in value] or [("", "none")]
    return [("", "done" if value is None else str(value))]


def _entry(value: Any) -> str:
    if isinstance(value, dict):
        return "  ".join(str(member) for member in value.values())
    if isinstance(value, list):
        return " ".join(str(member) for member in value) or "-"
    return str(value)


def repl(
    ctx: typer.Context,
    target: Annotated[
        str,
        typer.Argument(metavar="DEVICE", help="A device's name, or HOST:PORT without a host."),
    ],
    board: Annotated[str, typer.Option("--board", help="With an address: the board's profile.")] = "virtual",
) -> None:
    """Call a device's methods line by line. Tab completes, Ctrl-D leaves."""
    options = global_options(ctx)
    words = CallCompletions(*_known(options, target))
    home = options.settings().home
    history = home / "repl_history" if home.is_dir() else None
    read_line = line_reader(history, prompt=f"{target}> ", complete=words.complete)
    while (line := read_line()) is not None:
        if not line:
            continue
        if line.split()[0] == HELP:
            for told in words.help(line.split()[1:]):
                options.line(told)
            continue
        try:
            method, *given = shlex.split(line)
            values = arguments_from_words(method, given)
            print_outcome(options, method, call_target(options, target, board, method, values))
        except NoHost:
            raise
        except MicroclawError as exc:
            options.terminal().error(exc)
        except ValueError as exc:  # an open quotation mark
            options.line(f"{exc}: {line}")


class CallCompletions:
    """Completions for calls of a device: its methods, their arguments, its pins."""

    def __init__(self, methods: Sequence[str], pins: Sequence[int]) -> None:
        self.methods = tuple(sorted(methods))
        self._pins = tuple(str(pin) for pin in sorted(pins))

    def help(self, about: Sequence[str] = ()) -> list[str]:
        """Each method of the device with its form, or those that begin with a word; and what else there is to type."""
        wanted = tuple(about[:1]) or ("",)
        methods = [method for method in self.methods if method.startswith(wanted)]
        if not methods:
            return [f"this device has no method {wanted[0][:40]}; {HELP} lists those it has"]
        forms = {method: method_form(method) for method in methods}
        width = max(map(len, forms.values()))
        lines = [f"{form:<{width}}  {METHOD_HELP[method]}" for method, form in forms.items()]
        if about:
            return lines
        pins = f"  Pins: {' '.join(self._pins)}." if self._pins else ""
        lines.append(f"Arguments also go without their names, in this order: gpio.set 2 1.{pins}")
        lines += [f"{method}: not here, but {command}" for method, command in NOT_DIRECT.items()]
        return [*lines, f"{HELP} METHOD tells of one; Tab completes; exit, quit or Ctrl-D leaves"]

    def complete(self, before: str) -> tuple[str, Sequence[str]]:
        """The word at the cursor and its completions."""
        *earlier, started = before.split(" ")
        if not any(earlier):
            return started, [word for word in (*self.methods, HELP) if word.startswith(started)]
        name, separator, value = started.partition("=")
        if separator:
            found = [f"{name}={pin}" for pin in self._pins if pin.startswith(value)] if name == "pin" else []
            return started, found
        given = {word.partition("=")[0] for word in earlier}
        names = [argument for argument in argument_names(earlier[0]) if argument not in given]
        return started, [f"{argument}=" for argument in names if argument.startswith(started)]


def _known(options: GlobalOptions, target: str) -> tuple[list[str], list[int]]:
    """Methods and pins that the device offers; of an address, every method there is."""
    if is_address(target):
        options.only_here(f"a call of {target}")
        return list(CALLS), []
    device = options.host().call(show_device, device=target)
    return [method for method in device.capabilities if method in CALLS], device.free_pins


def is_address(target: str) -> bool:
    """Whether a target names an address instead of a device: HOST:PORT or a transport's full form."""
    return target.startswith(_PREFIXES) or _HOST_PORT.match(target) is not None


def endpoint_of(target: str) -> str:
    """The transport's full address of such a target."""
    return target if target.startswith(_PREFIXES) else f"wasmachine://{target}"


def call_directly(target: str, board_id: str, method: str, values: dict[str, Any]) -> Any:
    """Do it and return the answer as JSON values. Raises DeviceError and its kinds."""
    return result_value(call_endpoint(target, board_id, call_from(method, values)))


def call_endpoint(target: str, board_id: str, call: Any) -> Any:
    """Do a call of the board at an address, on a connection of its own. Raises DeviceError and its kinds."""
    return asyncio.run(call_at(target, board_id, call))


async def call_at(target: str, board_id: str, call: Any) -> Any:
    """As `call_endpoint`, where an event loop runs already."""
    from microclaw.boards import load_board
    from microclaw.devices.device import check_call, not_offered
    from microclaw.transports.open import open_transport

    endpoint = endpoint_of(target)
    board = load_board(board_id)
    transport = open_transport(endpoint, board)
    try:
        if call.method not in transport.capabilities:
            raise not_offered(endpoint, call, transport.capabilities)
        check_call(board, call)
        return await transport.call(call, CALL_TIMEOUT_S)
    finally:
        await transport.close()
