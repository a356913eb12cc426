"""`microclaw repl`: one device's methods line by line, with completion. What a method does is the device's."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from microclaw.cli.invocation import Invocation, invocation

HELP = "help"


def register(app: typer.Typer) -> None:
    app.command()(repl)


def repl(
    ctx: typer.Context,
    target: Annotated[str, typer.Argument(metavar="DEVICE", help="A device's name, or HOST:PORT without a host.")],
    board: Annotated[str, typer.Option("--board", help="With an address: the board's profile.")] = "virtual",
) -> None:
    """Call a device's methods line by line; Tab completes, Ctrl-D leaves."""
    from microclaw.cli.device_commands import call_target, print_outcome
    from microclaw.devices.call_text import arguments_from_words
    from microclaw.errors import MicroclawError, NoHost
    from microclaw.terminal.prompt import line_reader

    options = invocation(ctx)
    words = Words(*_known(options, target))
    home = options.settings().home
    history = home / "repl_history" if home.is_dir() else None
    read_line = line_reader(history, prompt=f"{target}> ", complete=words.complete)
    while (line := read_line()) is not None:
        if not line:
            continue
        if line == HELP:
            options.line("  ".join(words.methods))
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


class Words:
    """What can be typed to a device: its methods, their arguments, its pins."""

    def __init__(self, methods: Sequence[str], pins: Sequence[int]) -> None:
        self.methods = tuple(sorted(methods))
        self._pins = tuple(str(pin) for pin in sorted(pins))

    def complete(self, before: str) -> tuple[str, Sequence[str]]:
        """The word that is being typed, and what it may become."""
        from microclaw.devices.call_text import argument_names

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


def _known(options: Invocation, target: str) -> tuple[list[str], list[int]]:
    """Methods and pins that the device offers; of an address, every method there is."""
    from microclaw.cli.direct import is_address
    from microclaw.cli.host_client import segment
    from microclaw.devices.call_text import CALLS

    if is_address(target):
        options.only_here(f"a call of {target}")
        return list(CALLS), []
    device: dict[str, Any] = options.host().get(f"/v1/devices/{segment(target)}")
    return [method for method in device["capabilities"] if method in CALLS], list(device.get("free_pins", ()))
