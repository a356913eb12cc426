"""`microclaw exec`: one device's methods, called through the host, or by an address without one."""

from __future__ import annotations

import asyncio
import re
import shlex
from typing import Annotated, Any, cast

import typer
from msgspec import to_builtins

from microclaw.apps.device_operations import call_device, show_device
from microclaw.cli.options import GlobalOptions, global_options
from microclaw.devices.call_text import (
    CALLS,
    METHOD_HELP,
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
            metavar="DEVICE [METHOD [ARG]...]",
            help="A device's name, or HOST:PORT without a host (with -d, -l or --all: none), gpio.set, gpio.get, "
            "adc.read, apps.list, ..., and pin=2 level=1, or 2 1; no method: they are typed line by line.",
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
    if len(words) == 1:
        _line_by_line(options, words[0], board)
        return
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


def _line_by_line(options: GlobalOptions, target: str, board: str) -> None:
    """Call what is typed, a method a line; `help` lists those that the device has."""
    if is_address(target):
        options.only_here(f"a call of {target}")
        methods = list(CALLS)
    else:
        methods = [one for one in options.host().call(show_device, device=target).capabilities if one in CALLS]
    home = options.settings().home
    read_line = line_reader(home / "repl_history" if home.is_dir() else None, prompt=f"{target}> ")
    while (line := read_line()) is not None:
        try:
            method, *given = shlex.split(line) or [""]
            if method == HELP:
                options.table(
                    [(method_form(one), METHOD_HELP[one]) for one in methods], head=("METHOD", "WHAT IT DOES")
                )
            elif method:
                values = arguments_from_words(method, given)
                print_outcome(options, method, call_target(options, target, board, method, values))
        except NoHost:
            raise
        except MicroclawError as exc:
            options.terminal().error(exc)
        except ValueError as exc:  # an open quotation mark
            options.line(f"{exc}: {line}")


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
