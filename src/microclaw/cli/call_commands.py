"""`microclaw exec`: one device's methods, called through the host, or by an address without one."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Sequence
from typing import Any

import click
from click.exceptions import Exit

from microclaw.apps.device_calls import CallAnswer, call_device, call_permission
from microclaw.apps.device_operations import show_device
from microclaw.cli.many_devices import ask_once
from microclaw.cli.operation_commands import perform, show
from microclaw.cli.options import FAILED, GlobalOptions
from microclaw.cli.targets import endpoint_of, is_address
from microclaw.devices.call_text import (
    CALLS,
    METHOD_HELP,
    arguments_from_words,
    call_from,
    method_form,
    result_value,
)
from microclaw.errors import MicroclawError, NoHost
from microclaw.operations.operation import Permission
from microclaw.terminal.prompt import line_reader

HELP = "help"
CALL_TIMEOUT_S = 15.0


@click.command()
@click.argument(
    "words",
    required=True,
    nargs=-1,
    metavar="DEVICE [METHOD [ARG]...]",
    help="A device's name, or HOST:PORT without a host (with -d, -l or --all: none), gpio.set, gpio.get, "
    "adc.read, apps.list, ..., and pin=2 level=1, or 2 1; no method: they are typed line by line.",
)
@click.option("--board", default="virtual", help="With an address: the board's profile.")
@click.option("--wait/--no-wait", default=True, help="For a device that is away, up to 15 s.")
@click.option("--force", is_flag=True, help="Also on a pin that a program has.")
@click.pass_obj
def execute(options: GlobalOptions, words: tuple[str, ...], board: str, wait: bool, force: bool) -> None:
    """Call one method of a device, or of several."""
    is_one = not options.chooses_many
    target = options.device or "" if is_one else ""
    if is_one and not target:
        target, words = words[0], words[1:]
    if not words:
        _line_by_line(options, target, board)
        return
    values = _values(words) | {"wait": wait, "force": force}
    if is_one:
        _call(options, target, board, values)
        return
    if call_permission(words[0]) is not Permission.READ:
        ask_once(options, options.host(), f"Call {words[0]} on")
    perform(options, call_device, values)


def _values(words: Sequence[str]) -> dict[str, Any]:
    method, *given = words
    return {"method": method, "arguments": arguments_from_words(method, given)}


def _call(options: GlobalOptions, target: str, board: str, values: dict[str, Any]) -> None:
    """Through the host for a device's name, directly for an address; its answer is shown."""
    if not is_address(target):
        made = options.host().call(call_device, device=target, **values)
    else:
        options.only_here(f"a call of {target}")
        call = call_from(values["method"], values["arguments"])
        made = CallAnswer(method=call.method, result=result_value(call_endpoint(target, board, call)))
    show(options, call_device, made)


def _line_by_line(options: GlobalOptions, target: str, board: str) -> None:
    """Call what is typed, a method a line; `help` lists those that the device has."""
    if is_address(target):
        options.only_here(f"a call of {target}")
        methods = list(CALLS)
    else:
        methods = [one for one in options.host().call(show_device, device=target).capabilities if one in CALLS]
    home = options.settings().home
    read_line = line_reader(home / "repl_history" if home.is_dir() else None, prompt=f"{target}> ")
    failed = False
    while (line := read_line()) is not None:
        try:
            method, *given = shlex.split(line) or [""]
            if method == HELP:
                options.table(
                    [(method_form(one), METHOD_HELP[one]) for one in methods], head=("METHOD", "WHAT IT DOES")
                )
            elif method:
                _call(options, target, board, _values([method, *given]))
        except NoHost:
            raise
        except MicroclawError as exc:
            failed = True
            options.terminal().error(exc)
        except ValueError as exc:  # an open quotation mark
            failed = True
            options.line(f"{exc}: {line}")
    if failed and not sys.stdin.isatty():  # nobody has seen it
        raise Exit(FAILED)


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
