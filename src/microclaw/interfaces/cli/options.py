"""The global options of a command line; how commands print, and how they ask for a yes or a secret. Runs no command."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import click
from click.exceptions import Exit
from msgspec import Struct

from microclaw.durable import read_given
from microclaw.errors import ConfigError, MicroclawError
from microclaw.events import ApprovalAsked
from microclaw.host.operations.client import Client, endpoint_of
from microclaw.host.operations.connection import HostError
from microclaw.host.operations.host_address import OPTION, HostAddress, named_host
from microclaw.interfaces.terminal.page import Terminal, detect_look, table_lines, terminal_columns
from microclaw.readiness import is_readable
from microclaw.text import clean_text, escape_hidden, format_duration

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from microclaw.host.config.settings import Settings
    from microclaw.interfaces.api.host import HostInfo

HostRunner: TypeAlias = "Callable[..., AbstractAsyncContextManager[HostInfo]]"
"""Runs a host with the given settings as long as the context lasts (app/host.py)."""
HostLoader: TypeAlias = "Callable[[], HostRunner]"
"""Imports the host. Only the entry point has it: no command imports the app."""
Texts: TypeAlias = tuple[str, ...]
# errors.py has the other exit codes: 3 no host, 4 device unreachable.
FAILED: Final = 1
# Some of many devices failed.
SOME_FAILED: Final = 5
INTERRUPTED: Final = 130
GIVE_YES: Final = "give --yes with the same command, or run it at a terminal and answer there"
MAX_SECRET_BYTES: Final = 4096
_NEGATIVE_NUMBER: Final = re.compile(r"-\d+(\.\d+)?")
SECRET_METAVAR: Final = "@FILE|-"  # noqa: S105 - what help shows


class NoTerminal(MicroclawError, code="usage", exit_code=2):
    """Wrong usage: a question needs an answer, and stdin is not a terminal. `next_step` says how to answer."""


class GlobalOptions(Struct, frozen=True):
    """The global options. Commands get them by `click.pass_obj`. `load_host` imports the host for `up`."""

    json: bool = False
    devices: tuple[str, ...] = ()
    home: Path | None = None
    quiet: bool = False
    verbose: bool = False
    yes: bool = False
    host_url: str | None = None
    labels: tuple[str, ...] = ()
    every: bool = False
    load_host: HostLoader | None = None

    @property
    def device(self) -> str | None:
        """The device of -d, or None. Raises ConfigError if several devices are chosen."""
        if self.chooses_many:
            text = "this is about one device, given as -d NAME"
            step = "give one -d NAME; several take exec, run, fleet, device list, app list, most acts of app"
            raise ConfigError(text, next_step=step)
        if self.devices:
            return self.devices[0]
        return None

    @property
    def chooses_many(self) -> bool:
        """True if devices are chosen by -d more than once, by -l or by --all."""
        return len(self.devices) > 1 or bool(self.labels) or self.every

    def settings(self) -> Settings:
        # Imported here, because a command that only calls a host reads no settings.
        from microclaw.host.config.load import load_settings

        return load_settings(os.environ, home=self.home)

    def host(self, cancel: Callable[[], object] | None = None) -> Client:
        """Return a client of this machine's host (control socket), or of the host in --host or MICROCLAW_HOST (token).

        `cancel` is called for Ctrl-C at a question; without it Ctrl-C is a no.
        """
        return Client(endpoint_of(self.host_url, self.home, said_by=OPTION), ask=partial(self.decide, cancel))

    def decide(self, cancel: Callable[[], object] | None, host: Client, asked: ApprovalAsked) -> None:
        """Show exactly what would happen, then decide: --yes approves without a question, Enter is a no.

        Without a terminal a question in a chat or of this machine's host, which this person may answer, ends at once,
        because no answer can come; for another question the command that decides is printed.
        """
        terminal = self.terminal()
        terminal.approval(asked)
        is_terminal = sys.stdin.isatty()
        is_approved = self.yes
        if not self.yes and is_terminal:
            answer = _read_answer(terminal)
            if answer is None and cancel is not None:
                cancel()
                return
            is_approved = answer is not None and answer.strip().lower() in ("y", "yes")
        elif not self.yes:
            may_come_elsewhere = cancel is None and self.address() is not None
            if may_come_elsewhere or not asked.may_decide:
                _show_decision_command(terminal, asked)
                return
            terminal.row("next", f"a yes needs a terminal: {GIVE_YES}")
        try:
            host.decide(asked.approval_id, approved=is_approved, nobody=not self.yes and not is_terminal)
        # Another user was first, or the time was over: the turn continues all the same.
        except HostError as exc:
            terminal.error(exc)

    def address(self) -> HostAddress | None:
        """Return the host's address, or None for the host of this machine. Raises ConfigError if it is invalid."""
        return named_host(self.host_url, os.environ)

    def only_here(self, what: str) -> None:
        """Raise ConfigError if another host is named; `what` is about this machine only."""
        address = self.address()
        if address is not None:
            text = f"{what} is about this machine, and {address.said_by} names {address}"
            raise ConfigError(text, next_step="run it on that machine; for this one add --host local")

    def terminal(self) -> Terminal:
        """Return the terminal page: on stdout, or on stderr if stdout carries a JSON document."""
        out = sys.stderr if self.json else sys.stdout
        return Terminal(out, detect_look(out))

    def document(self, schema: str, value: Mapping[str, Any]) -> None:
        """Print the only JSON document of a command with --json."""
        only_ascii = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
        text = json.dumps({"schema": f"microclaw.{schema}/1", **value}, ensure_ascii=only_ascii)
        sys.stdout.write(escape_hidden(text) + "\n")
        sys.stdout.flush()

    def wrote_json(self, schema: str, value: Mapping[str, Any]) -> bool:
        """Print the document if --json is set. Return True if it was printed, so that the command can end."""
        if self.json:
            self.document(schema, value)
        return self.json

    def confirm(self, question: str, *, default: bool = False, hint: str = "") -> bool:
        """Ask for a yes; --yes answers it. Raises NoTerminal without a terminal."""
        if not self.yes:
            needs_terminal(f"{question}{hint}", GIVE_YES)
        return self.yes or click.confirm(clean_text(question, one_line=True), default=default, err=True)

    def agree(self, question: str, *, default: bool = False, hint: str = "") -> None:
        """Ask as `confirm` does; a no ends the command."""
        if not self.confirm(question, default=default, hint=hint):
            self.say("nothing was changed")
            raise Exit(FAILED)

    def end_with_json(self, schema: str, value: Mapping[str, Any]) -> None:
        """Print the document and end the command, if --json is set."""
        if self.wrote_json(schema, value):
            raise Exit

    def with_home(self, text: str) -> str:
        """Return `text` with --home in each `microclaw up` of this machine, so that it starts the same home."""
        if self.home is None:
            return text
        start = f"microclaw --home {shlex.quote(str(self.home))} up"
        return re.sub(r"\bmicroclaw up\b(?! on that machine)", start, text)

    def say(self, text: str) -> None:
        """Print a line for a person, but not with -q or --json."""
        if not self.quiet and not self.json:
            self.line(text)

    def report(self, schema: str, value: Mapping[str, Any], text: str) -> None:
        """Print the result of a command: the document with --json, else one line."""
        if not self.wrote_json(schema, value):
            self.say(text)

    def line(self, text: str = "") -> None:
        """Print a line that is the answer itself, with -q too."""
        sys.stdout.write(clean_text(text) + "\n")
        sys.stdout.flush()

    def table(self, rows: Sequence[Sequence[object]], *, head: Sequence[str], empty: str = "") -> None:
        """Print rows, wrapped on a narrow terminal, without the head if -q is set; print `empty` if there are none."""
        if empty and not rows:
            self.say(empty)
            return
        cells = [] if self.quiet else [list(head)]
        for row in rows:
            cells.append([clean_text(str(cell), one_line=True) for cell in row])
        for line in table_lines(cells, terminal_columns(sys.stdout)):
            self.line(line)


class ValueCommand(click.Command):
    """A command whose values may be negative numbers, which click would refuse as unknown options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.ignore_unknown_options = any(map(_NEGATIVE_NUMBER.fullmatch, args))
        return super().parse_args(ctx, args)


def command(group: click.Group | None = None, name: str | None = None) -> Callable[[Callable[..., None]], Any]:
    """Return a decorator that makes a command of a function, which gets the global options as its first argument."""
    decorator: Callable[..., click.Command]
    if group is None:
        decorator = click.command(name, cls=ValueCommand)
    else:
        decorator = group.command(name, cls=ValueCommand)
    return lambda run: decorator(click.pass_obj(run))


def needs_terminal(question: str, remedy: str) -> None:
    """Raise NoTerminal, with the `remedy` as its next step, if stdin is not a terminal."""
    if not sys.stdin.isatty():
        raise NoTerminal(f"there is no terminal to ask at: {question}", next_step=remedy)


def secret_value(name: str, given: str | None, *, is_new: bool = False, remedy: str = "") -> str:
    """Return the secret that `@FILE` or `-` (stdin) stands for, with its spaces; at a terminal it is asked for.

    A new secret is asked for twice. If `given` is None a terminal is asked; without one NoTerminal is raised with the
    `remedy`. Raises BadParameter for a secret in the command line itself, ConfigError if it is not one line of UTF-8.
    """
    if given is None:
        needs_terminal(name, remedy)
    if given is None or (given == "-" and sys.stdin.isatty()):
        return str(click.prompt(clean_text(name, one_line=True), hide_input=True, confirmation_prompt=is_new, err=True))
    if given != "-" and not given.startswith("@"):
        text = f"{name} on the command line is seen by every program: write @FILE, or - for stdin"
        raise click.BadParameter(text)
    if given == "-":
        content = sys.stdin.readline(MAX_SECRET_BYTES + 1).encode(errors="surrogateescape")
    else:
        content = read_given(Path(given[1:]), MAX_SECRET_BYTES)
    try:
        # Some editors put a byte order mark before the text; utf-8-sig removes it.
        secret = content.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{name}: {given} is not UTF-8 text", next_step="save it as UTF-8") from exc
    if not secret.strip() or "\n" in secret or len(content) > MAX_SECRET_BYTES:
        text = f"{name}: {given} is not one line with a secret"
        raise ConfigError(text, next_step="give only the secret, as one line of a file (@FILE) or of stdin (-)")
    return secret


def _show_decision_command(terminal: Terminal, asked: ApprovalAsked) -> None:
    """Print the command that decides an approval elsewhere, and how long it waits."""
    place = "in another terminal" if asked.may_decide else "by an owner"
    command_line = f"microclaw approval decide {asked.approval_id} yes (or no), {place}"
    terminal.row("next", f"{command_line}; no answer in {format_duration(asked.expires_s * 1000)} is a no")


def _read_answer(terminal: Terminal) -> str | None:
    """Return a typed line, or None for Ctrl-C and the end of the input."""
    try:
        with on_interrupt(lambda: signal.default_int_handler(signal.SIGINT, None)):
            terminal.prompt("do it? [y/N] ")
            # A blocking read would miss a signal that came just before it.
            while not is_readable(sys.stdin, 1.0):
                pass
            return sys.stdin.readline(256) or None
    except KeyboardInterrupt:
        terminal.line()
        return None


@contextmanager
def on_interrupt(act: Callable[[], object], *, once: bool = False) -> Iterator[None]:
    """Call `act` on SIGINT inside the block; with `once` only on the first one, then the former handler is back.

    Works only in the main thread.
    """

    def handle(*_: object) -> None:
        if once:
            signal.signal(signal.SIGINT, before)
        act()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
