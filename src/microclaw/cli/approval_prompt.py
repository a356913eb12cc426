"""Asks the person at this terminal to approve an action, and sends the answer to the host; handles Ctrl-C meanwhile."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec import Struct

from microclaw.events import ApprovalAsked
from microclaw.operations.client import Client
from microclaw.operations.connection import HostError
from microclaw.terminal.page import Terminal
from microclaw.text import format_duration

GIVE_YES = "give --yes with the same command, or run it at a terminal and answer there"
_YES = frozenset({"y", "yes"})


class ApprovalPrompt(Struct, frozen=True):
    """`yes` approves without asking (--yes). Without a keyboard a chat's question that is this person's own is declined
    at once; for another one it prints the command that decides.
    """

    host: Client
    terminal: Terminal
    yes: bool
    cancel: Callable[[], object] | None = None  # of a chat: Ctrl-C; without it that is a no

    def ask(self, asked: ApprovalAsked) -> None:
        """Show exactly what would happen, then decide; Enter alone is a no."""
        self.terminal.approval(asked)
        if self.yes:
            self.decide(asked, approved=True)
        elif sys.stdin.isatty():
            answer = self._typed()
            if answer is None and self.cancel is not None:
                self.cancel()
            else:
                self.decide(asked, approved=answer is not None and answer.strip().lower() in _YES)
        elif self.cancel is not None and asked.may_decide:
            self.terminal.row("next", f"nobody is at a terminal to say yes: {GIVE_YES}")
            self.decide(asked, approved=False)
        else:
            decide = f"microclaw approval decide {asked.approval_id} yes (or no), in another terminal"
            self.terminal.row("next", f"{decide}; no answer in {format_duration(asked.expires_s * 1000)} is a no")

    def _typed(self) -> str | None:
        """A line, or None for Ctrl-C and the end of the input."""
        try:
            with on_interrupt(break_off):
                self.terminal.prompt("do it? [y/N] ")
                return sys.stdin.readline(256) or None
        except KeyboardInterrupt:
            self.terminal.line()
            return None

    def decide(self, asked: ApprovalAsked, *, approved: bool) -> None:
        try:
            self.host.decide(asked.approval_id, approved=approved)
        except HostError as exc:  # somebody else was first, or the time was over: the turn goes on all the same
            self.terminal.error(exc)


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


def break_off() -> None:
    raise KeyboardInterrupt
