"""`microclaw exec`: one device's methods, called through the host, or by an address without one."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import click
from click.exceptions import Exit

from microclaw.apps.device_calls import CallAnswer, call_device, call_permission
from microclaw.apps.device_operations import show_device
from microclaw.boards import load_board
from microclaw.cli.many_devices import ask_once, endpoint_of, is_address
from microclaw.cli.operation_commands import perform, show
from microclaw.cli.options import FAILED, GlobalOptions
from microclaw.devices.call_text import CALLS, METHOD_HELP, arguments_from_words, call_from, method_form, result_value
from microclaw.devices.calls import Call
from microclaw.errors import MicroclawError, NoHost
from microclaw.operations.operation import Permission
from microclaw.terminal.prompt import line_reader

if TYPE_CHECKING:
    from microclaw.devices.device import Device

CALL_TIMEOUT_S: Final = 15.0


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
    how = {"wait": wait, "force": force}
    if options.chooses_many:
        if call_permission(words[0]) is not Permission.READ:
            ask_once(options, options.host(), f"Call {words[0]} on")
        perform(options, call_device, {**_values(words), **how})
        return
    target, *rest = words if options.device is None else (options.device, *words)
    if is_address(target):
        options.only_here(f"a call of {target}")
    if rest:
        _call(options, target, board, {**_values(rest), **how})
    else:
        _line_by_line(options, target, board)


@asynccontextmanager
async def board_at(target: str, board_id: str = "virtual") -> AsyncIterator[Device]:
    """The board at an address as a device, without a host."""
    from microclaw.devices.device import Device
    from microclaw.store.devices import DeviceRow
    from microclaw.transports.open import open_transport

    board = load_board(board_id)
    device = Device(DeviceRow("d-direct", target, board_id), board, [open_transport(endpoint_of(target), board)])
    try:
        yield device
    finally:
        await device.close()


async def _call_at(target: str, board_id: str, call: Call[Any]) -> Any:
    async with board_at(target, board_id) as device:
        check_offered(device, call)
        return await device.call(call, CALL_TIMEOUT_S, wait=False)


def check_offered(device: Device, call: Call[Any]) -> None:
    """Raise NotSupported in words that help where there is no host, and no name to add a transport to."""
    if not device.supports(call.method):
        raise device.transports[0].not_offered(call)


def _values(words: Sequence[str]) -> dict[str, Any]:
    method, *given = words
    return {"method": method, "arguments": arguments_from_words(method, given)}


def _call(options: GlobalOptions, target: str, board: str, values: dict[str, Any]) -> None:
    if is_address(target):
        call = call_from(values["method"], values["arguments"])
        made = CallAnswer(method=call.method, result=result_value(asyncio.run(_call_at(target, board, call))))
    else:
        made = options.host().call(call_device, device=target, **values)
    show(options, call_device, made)


def _line_by_line(options: GlobalOptions, target: str, board: str) -> None:
    """Call what is typed, a method a line; `help` lists those that the device has."""
    offered = CALLS if is_address(target) else options.host().call(show_device, device=target).capabilities
    home, failed = options.settings().home, False
    read_line = line_reader(home / "repl_history" if home.is_dir() else None, prompt=f"{target}> ")
    while (line := read_line()) is not None:
        try:
            words = shlex.split(line)
            if words == ["help"]:
                rows = [(method_form(one), METHOD_HELP[one]) for one in offered if one in CALLS]
                options.table(rows, head=("METHOD", "WHAT IT DOES"))
            elif words:
                _call(options, target, board, _values(words))
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
