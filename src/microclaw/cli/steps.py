"""Work of the host that tells its steps: shown as they come, its questions asked, ended by Ctrl-C before it changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import structs

from microclaw.cli.approval_prompt import ApprovalPrompt
from microclaw.cli.interrupts import on_interrupt
from microclaw.cli.options import INTERRUPTED, GlobalOptions
from microclaw.errors import MicroclawError, NoHost, ProtocolError
from microclaw.events import ApprovalAsked, ApprovalSettled, Step
from microclaw.operations.client import Client, request_number
from microclaw.operations.connection import HostError
from microclaw.operations.operation import Operation
from microclaw.terminal.page import Terminal
from microclaw.wire.host_api import Failure, Result, StreamEvent

_STOPPED_LISTENING = Failure(
    "interrupted",
    "interrupted: a change that has begun is finished by the host, any other is not made",
    "microclaw app changes shows it, microclaw app undo takes it back",
    exit_code=INTERRUPTED,
)


def follow(options: GlobalOptions, host: Client, act: Operation[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Start an act, show its steps, ask for its approvals, return its result. Raises HostError if it failed.

    The first Ctrl-C cancels what has changed nothing yet; the next one stops listening.
    """
    terminal, number, (path, query, body) = options.terminal(), request_number(), act.request(values)

    def stop() -> None:
        try:
            state = host.cancel(number)
        except MicroclawError as exc:  # a host that cannot cancel, or none
            raise KeyboardInterrupt from exc
        if state == "unknown":
            raise KeyboardInterrupt
        if state == "begun":
            terminal.row("", "the change has begun: the host finishes it. Ctrl-C again stops listening only")
            terminal.row("next", "see it: microclaw app changes; take it back: microclaw app undo")

    try:
        with on_interrupt(stop, once=True):
            events = host.stream(path, body, method=act.method, query=query, number=number)
            return _result(options, terminal, host, events)
    except KeyboardInterrupt as exc:
        raise HostError(_STOPPED_LISTENING) from exc


def _result(options: GlobalOptions, terminal: Terminal, host: Client, events: Iterator[StreamEvent]) -> dict[str, Any]:
    stages = Stages(options, terminal)
    for event in events:
        if not isinstance(event, Step | Failure):
            stages.flush()
        match event:
            case Step():
                stages.show(event)
            case ApprovalAsked():
                ApprovalPrompt(host, terminal, options.yes).ask(event)
            case ApprovalSettled():
                terminal.event(event)
            case Result(value):
                return value
            case Failure():
                stages.failed(event)
                raise HostError(event)
            case _:
                raise ProtocolError("the host answered where a result was expected")
    raise NoHost("the host ended the stream without a result", next_step="microclaw status")


MAX_REASON_CHARS = 60


class Stages:
    """Shows the stages of work, with -q and --json none. One that failed waits: the error that ends the command may say
    the same."""

    def __init__(self, options: GlobalOptions, terminal: Terminal) -> None:
        self._terminal, self._is_silent = terminal, options.quiet or options.json
        self._failed: Step | None = None

    def show(self, step: Step) -> None:
        if self._is_silent:
            return
        self.flush()
        if step.state == "failed":
            self._failed = step
        else:
            self._terminal.step(step)

    def failed(self, failure: Failure) -> None:
        """The command ends with this error: of a stage that says the same only the reason is shown."""
        step, self._failed = self._failed, None
        if step is None:
            return
        texts = (failure.message, *(str(diagnostic["text"]) for diagnostic in failure.diagnostics))
        told = {line.strip() for text in texts for line in text.splitlines()}
        wanted = {line.strip() for text in (step.text, *step.detail) for line in text.splitlines()}
        if wanted <= told and (failure.next_step or "").startswith(step.next_step or ""):
            step = structs.replace(step, text=_short(step.text), detail=(), next_step=None)
        self._terminal.step(step)

    def flush(self) -> None:
        if self._failed is not None:
            self._terminal.step(self._failed)
            self._failed = None


def _short(text: str) -> str:
    """The first line of a reason, on one line of the terminal: who sees stdout alone must not guess."""
    line = text.strip().partition("\n")[0]
    return line if len(line) <= MAX_REASON_CHARS else f"{line[: MAX_REASON_CHARS - 1]}…"
