"""Asks the person at this terminal for the yes or no that a turn waits for, and brings it to the host."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import FrameType

from microclaw.events import ApprovalAsked
from microclaw.host_client.client import HostClient
from microclaw.host_client.request import HostError
from microclaw.terminal.page import Terminal

_YES = frozenset({"y", "yes"})


def ask_at(terminal: Terminal, host: HostClient, asked: ApprovalAsked, *, yes: bool) -> None:
    """Ask what one call of this command line waits for; Ctrl-C is a no."""
    approver = Approver(host, terminal, yes, lambda: None)
    approver = replace(approver, cancel=lambda: approver.decide(asked, approved=False))
    approver.ask(asked)


@dataclass(frozen=True, slots=True)
class Approver:
    """`yes` answers for the person (--yes); without it and without a keyboard it says where to decide."""

    host: HostClient
    terminal: Terminal
    yes: bool
    cancel: Callable[[], object]

    def ask(self, asked: ApprovalAsked) -> None:
        """Show exactly what would happen, then decide; Enter alone is a no, Ctrl-C a no that ends the turn."""
        self.terminal.approval(asked)
        if self.yes:
            self.decide(asked, approved=True)
        elif sys.stdin.isatty():
            answer = self._typed()
            if answer is None:
                self.cancel()
            else:
                self.decide(asked, approved=answer.strip().lower() in _YES)
        else:
            self.terminal.row(
                "next", f"microclaw approval approve {asked.approval_id} (or decline), in another terminal"
            )

    def _typed(self) -> str | None:
        """A line, or None for Ctrl-C."""
        before = signal.signal(signal.SIGINT, _interrupt)
        try:
            self.terminal.prompt("do it? [y/N] ")
            return sys.stdin.readline(256)
        except KeyboardInterrupt:
            self.terminal.line()
            return None
        finally:
            signal.signal(signal.SIGINT, before)

    def decide(self, asked: ApprovalAsked, *, approved: bool) -> None:
        try:
            self.host.decide(asked.approval_id, approved=approved)
        except HostError as exc:  # somebody else was first, or the time was over: the turn goes on all the same
            self.terminal.error(exc)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
