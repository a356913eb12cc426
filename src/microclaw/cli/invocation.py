"""What the global options of one command line say, and how its commands print. It runs nothing."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from microclaw.cli.host_address import HostAddress
    from microclaw.cli.host_client import HostClient
    from microclaw.cli.remote_way import RemoteWay
    from microclaw.config import LinkSettings, Settings
    from microclaw.terminal.page import Terminal

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130  # errors.py has the others: 3 no host, 4 device unreachable

GLOBAL_FLAGS = frozenset({"--json", "-q", "--quiet", "-v", "--verbose", "--yes", "-y", "--no-color"})
GLOBAL_VALUES = frozenset({"-d", "--device", "--home", "--host"})


@dataclass(frozen=True, slots=True)
class Invocation:
    """The global options. Commands get it with `invocation(ctx)`."""

    json: bool = False
    device: str | None = None
    home: Path | None = None
    quiet: bool = False
    verbose: bool = False
    yes: bool = False
    no_color: bool = False
    host_url: str | None = None

    def settings(self, *, http_port: int | None = None, link: LinkSettings | None = None) -> Settings:
        from microclaw.config import load_settings

        return load_settings(os.environ, home=self.home, http_port=http_port, link=link)

    def host(self) -> HostClient:
        """This machine's host on its control socket, or the one that --host or MICROCLAW_HOST names, with a token."""
        from microclaw.cli.host_client import HostClient
        from microclaw.config import control_socket, private_home

        way = self.remote_way()
        if way is None:
            return HostClient(control_socket(private_home(os.environ, self.home), os.environ))
        from microclaw.cli.approving import ask_at

        return HostClient(way, ask=lambda host, asked: ask_at(self, host, asked))

    def address(self) -> HostAddress | None:
        """Where the host is; None for this machine's own. Raises ConfigError."""
        if self.host_url is None and not os.environ.get("MICROCLAW_HOST"):
            return None
        from microclaw.cli.host_address import named_host

        return named_host(self.host_url, os.environ)

    def remote_way(self) -> RemoteWay | None:
        """The way to a host at an address; None for this machine's own."""
        address = self.address()
        if address is None:
            return None
        from microclaw.cli.host_address import token_for
        from microclaw.cli.remote_way import RemoteWay

        return RemoteWay(address, token_for(address, self.home, os.environ))

    def only_here(self, what: str) -> None:
        """Raise ConfigError when another host is meant: `what` is about this machine."""
        address = self.address()
        if address is None:
            return
        from microclaw.errors import ConfigError

        raise ConfigError(
            f"{what} is about this machine, and {address.said_by} names {address}",
            next_step="do it on that machine; or for this one, the same with --host local",
        )

    def terminal(self) -> Terminal:
        """The page for people: stdout, or stderr when stdout carries a JSON document."""
        from microclaw.terminal.page import Terminal, standard_look

        out = sys.stderr if self.json else sys.stdout
        return Terminal(out, standard_look(out, no_color=self.no_color))

    def document(self, schema: str, value: Mapping[str, Any]) -> None:
        """The one JSON document of a `--json` command."""
        from microclaw.text import escape_hidden

        text = json.dumps({"schema": f"microclaw.{schema}/1", **value}, ensure_ascii=False)
        sys.stdout.write(escape_hidden(text) + "\n")
        sys.stdout.flush()

    def say(self, text: str) -> None:
        """One line for a person; silent with -q and --json."""
        if not self.quiet and not self.json:
            self.line(text)

    def line(self, text: str = "") -> None:
        """A line that is the answer itself: printed with -q too."""
        from microclaw.text import clean_text

        sys.stdout.write(clean_text(text) + "\n")
        sys.stdout.flush()

    def table(self, rows: Sequence[Sequence[object]], *, head: Sequence[str]) -> None:
        """Columns as wide as their widest cell; the head is left out with -q."""
        from microclaw.text import clean_text

        shown = [list(head)] if not self.quiet else []
        shown += [[clean_text(str(cell), one_line=True) for cell in row] for row in rows]
        widths = [max(len(row[i]) for row in shown) for i in range(len(head))] if shown else []
        for row in shown:
            self.line("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def invocation(ctx: typer.Context) -> Invocation:
    value = ctx.find_root().obj
    assert isinstance(value, Invocation)
    return value


def hoist_globals(arguments: Sequence[str]) -> list[str]:
    """Global options may stand anywhere on the line: move them in front of the command. `--` ends the options."""
    front: list[str] = []
    rest: list[str] = []
    index = 0
    while index < len(arguments):
        word = arguments[index]
        if word == "--":
            rest += arguments[index:]
            break
        name = word.split("=", 1)[0]
        if word in GLOBAL_FLAGS or (name in GLOBAL_VALUES and "=" in word and word.startswith("--")):
            front.append(word)
        elif word in GLOBAL_VALUES and index + 1 < len(arguments):
            front += arguments[index : index + 2]
            index += 1
        else:
            rest.append(word)
        index += 1
    return front + rest
