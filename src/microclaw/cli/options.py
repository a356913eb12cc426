"""The global options of a command line; how its commands print and ask, for a yes or a secret. It runs no command."""

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
from microclaw.operations.client import Client, endpoint_of
from microclaw.operations.connection import HostError
from microclaw.operations.host_address import OPTION, HostAddress, named_host
from microclaw.readiness import is_readable
from microclaw.terminal.page import Terminal, columns_of, look_for, table_lines
from microclaw.text import clean_text, escape_hidden, format_duration

if TYPE_CHECKING:
    from microclaw.config.settings import Settings

Texts: TypeAlias = tuple[str, ...]
FAILED: Final = 1  # errors.py has the others: 3 no host, 4 device unreachable
SOME_FAILED: Final = 5  # of many devices
INTERRUPTED: Final = 130
GIVE_YES: Final = "give --yes with the same command, or run it at a terminal and answer there"


class NobodyToAsk(MicroclawError, code="usage", exit_code=2):
    """Wrong usage: somebody has to answer, and nobody is at a terminal. `next_step` says how it is answered."""


class GlobalOptions(Struct, frozen=True):
    """The global options. Commands get them by `click.pass_obj`."""

    json: bool = False
    devices: tuple[str, ...] = ()
    home: Path | None = None
    quiet: bool = False
    verbose: bool = False
    yes: bool = False
    host_url: str | None = None
    labels: tuple[str, ...] = ()
    every: bool = False

    @property
    def device(self) -> str | None:
        """The device of -d. Raises ConfigError for any other choice, for what is about one."""
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
        from microclaw.config.load import load_settings  # a command for a host reads no settings

        return load_settings(os.environ, home=self.home)

    def host(self, cancel: Callable[[], object] | None = None) -> Client:
        """This machine's host on its control socket, or the one that --host or MICROCLAW_HOST names, with a token.

        `cancel` is what Ctrl-C at a question does; without it that is a no.
        """
        return Client(endpoint_of(self.host_url, self.home, said_by=OPTION), ask=partial(self.decide, cancel))

    def decide(self, cancel: Callable[[], object] | None, host: Client, asked: ApprovalAsked) -> None:
        """Show exactly what would happen, then decide: --yes approves without asking, Enter alone is a no.

        Without a keyboard a chat's question that is this person's own ends at once, as nobody can answer; for another
        one it prints the command that decides.
        """
        terminal = self.terminal()
        approved = self.yes
        terminal.approval(asked)
        if not self.yes and sys.stdin.isatty():
            answer = _typed_line(terminal)
            if answer is None and cancel is not None:
                cancel()
                return
            approved = answer is not None and answer.strip().lower() in ("y", "yes")
        elif not self.yes and cancel is not None and asked.may_decide:
            terminal.row("next", f"nobody is at a terminal to say yes: {GIVE_YES}")
        elif not self.yes:
            who = "in another terminal" if asked.may_decide else "by an owner"
            decide = f"microclaw approval decide {asked.approval_id} yes (or no), {who}"
            terminal.row("next", f"{decide}; no answer in {format_duration(asked.expires_s * 1000)} is a no")
            return
        try:
            host.decide(asked.approval_id, approved=approved, nobody=not self.yes and not sys.stdin.isatty())
        except HostError as exc:  # somebody else was first, or the time was over: the turn goes on all the same
            terminal.error(exc)

    def address(self) -> HostAddress | None:
        """The host's address; None for this machine's own. Raises ConfigError."""
        return named_host(self.host_url, os.environ)

    def only_here(self, what: str) -> None:
        """Raise ConfigError when another host is named; `what` is about this machine only."""
        address = self.address()
        if address is not None:
            text = f"{what} is about this machine, and {address.said_by} names {address}"
            raise ConfigError(text, next_step="do it on that machine; or for this one, the same with --host local")

    def terminal(self) -> Terminal:
        """The terminal page: stdout, or stderr when stdout carries a JSON document."""
        out = sys.stderr if self.json else sys.stdout
        return Terminal(out, look_for(out))

    def document(self, schema: str, value: Mapping[str, Any]) -> None:
        """The one JSON document of a `--json` command."""
        only_ascii = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
        text = json.dumps({"schema": f"microclaw.{schema}/1", **value}, ensure_ascii=only_ascii)
        sys.stdout.write(escape_hidden(text) + "\n")
        sys.stdout.flush()

    def wrote_json(self, schema: str, value: Mapping[str, Any]) -> bool:
        """With --json: print the document. True when it was printed, so that the command can end."""
        if self.json:
            self.document(schema, value)
        return self.json

    def confirm(self, question: str, *, default: bool = False, hint: str = "") -> bool:
        """True if the person says yes, or said --yes. Without a terminal: wrong usage."""
        if not self.yes:
            needs_terminal(f"{question}{hint}", GIVE_YES)
        return self.yes or click.confirm(clean_text(question, one_line=True), default=default, err=True)

    def agree(self, question: str, *, default: bool = False, hint: str = "") -> None:
        """As `confirm`; a no ends the command."""
        if not self.confirm(question, default=default, hint=hint):
            self.say("nothing was changed")
            raise Exit(FAILED)

    def end_with_json(self, schema: str, value: Mapping[str, Any]) -> None:
        """With --json: print the document and end the command."""
        if self.wrote_json(schema, value):
            raise Exit

    def with_home(self, text: str) -> str:
        """`text` with the home of --home in each `microclaw up` of this machine: without it another home starts."""
        if self.home is None:
            return text
        return re.sub(
            r"\bmicroclaw up\b(?! on that machine)", f"microclaw --home {shlex.quote(str(self.home))} up", text
        )

    def say(self, text: str) -> None:
        """One line for a person; silent with -q and --json."""
        if not self.quiet and not self.json:
            self.line(text)

    def report(self, schema: str, value: Mapping[str, Any], text: str) -> None:
        """The result of a command: the document with --json, else one line."""
        if not self.wrote_json(schema, value):
            self.say(text)

    def line(self, text: str = "") -> None:
        """A line that is the answer itself: printed with -q too."""
        sys.stdout.write(clean_text(text) + "\n")
        sys.stdout.flush()

    def table(self, rows: Sequence[Sequence[object]], *, head: Sequence[str], empty: str = "") -> None:
        """The rows, wrapped on a narrow terminal; the head is left out with -q. `empty` is said instead of no rows."""
        if empty and not rows:
            self.say(empty)
            return
        if not self.quiet:
            shown = [list(head)]
        else:
            shown = []
        shown += [[clean_text(str(cell), one_line=True) for cell in row] for row in rows]
        for line in table_lines(shown, columns_of(sys.stdout)):
            self.line(line)


def command(group: click.Group | None = None, name: str | None = None) -> Callable[[Callable[..., None]], Any]:
    """Makes a command of a function that gets the global options first."""
    if group is None:
        made = click.command(name)
    else:
        made = group.command(name)
    return lambda run: made(click.pass_obj(run))


MAX_SECRET_BYTES: Final = 4096
SECRET_METAVAR: Final = "@FILE|-"  # noqa: S105 - what help shows


def needs_terminal(question: str, remedy: str) -> None:
    """Return where a person can be asked; else wrong usage, with the `remedy`."""
    if not sys.stdin.isatty():
        raise NobodyToAsk(f"nobody is at a terminal to be asked: {question}", next_step=remedy)


def secret_value(name: str, given: str | None, *, is_new: bool = False, remedy: str = "") -> str:
    """The text that `@FILE` or `-` (stdin; a terminal is asked, for a new one twice) stands for, else ConfigError.
    Spaces around it are part of it.

    None: a terminal is asked, without one it is wrong usage with the `remedy`. So is a value itself.
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
        secret = content.decode("utf-8-sig").rstrip("\r\n")  # an editor's mark is no part of it
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{name}: {given} is not UTF-8 text", next_step="save it as UTF-8") from exc
    if not secret.strip() or "\n" in secret or len(content) > MAX_SECRET_BYTES:
        text = f"{name}: {given} is not one line with a secret"
        raise ConfigError(text, next_step="give the secret alone, as one line of a file (@FILE) or of stdin (-)")
    return secret


def _typed_line(terminal: Terminal) -> str | None:
    """A line, or None for Ctrl-C and the end of the input."""
    try:
        with on_interrupt(lambda: signal.default_int_handler(signal.SIGINT, None)):
            terminal.prompt("do it? [y/N] ")
            while not is_readable(sys.stdin, 1.0):  # a read does not see the signal that came just before it
                pass
            return sys.stdin.readline(256) or None
    except KeyboardInterrupt:
        terminal.line()
        return None


@contextmanager
def on_interrupt(act: Callable[[], object], *, once: bool = False) -> Iterator[None]:
    """While inside, SIGINT calls `act`; with `once` the first one does, and the handler from before gets the next ones.

    Only in the main thread.
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
