"""A conversation with the host from this terminal: sends a message, shows the turn, passes Ctrl-C on as a cancel."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from microclaw.cli.approving import Approver
from microclaw.cli.host_client import HostClient, HostError, segment
from microclaw.errors import MicroclawError, NoHost, ProtocolError
from microclaw.events import Answer, ApprovalAsked, ApprovalSettled, Delta, Step, ToolRun
from microclaw.terminal.page import Terminal
from microclaw.terminal.prompt import line_reader
from microclaw.web.stream import Failure, answer_from


def say(
    host: HostClient,
    text: str,
    *,
    chat_id: str,
    device: str | None,
    terminal: Terminal | None,
    approver: Approver | None = None,
) -> Answer:
    """Send one message and show what comes; Ctrl-C cancels the turn, a second one stops listening.

    With --yes an answer that waits for a yes gets it.
    """
    with _cancelling(host, chat_id):
        answer = listen(host, text, chat_id=chat_id, device=device, terminal=terminal, approver=approver)
        if answer.waits_for_yes and approver is not None and approver.yes:
            answer = listen(host, "yes", chat_id=chat_id, device=device, terminal=terminal, approver=approver)
        return answer


def listen(
    host: HostClient,
    text: str,
    *,
    chat_id: str,
    device: str | None,
    terminal: Terminal | None,
    approver: Approver | None = None,
) -> Answer:
    """Send one message and show what comes; Ctrl-C stops listening, and the turn goes on."""
    body = {"text": text, "chat_id": chat_id, "device": device}
    for event in host.stream("/v1/chat", body):
        match event:
            case ApprovalAsked() if approver is not None:
                approver.ask(event)
            case Answer() | Step() | Delta() | ToolRun() | ApprovalAsked() | ApprovalSettled():
                if terminal is not None:
                    terminal.event(event)
                if isinstance(event, Answer):
                    return event
            case Failure():
                raise HostError(event)
            case _:
                raise ProtocolError("the host sent a result where an answer was expected")
    raise NoHost(
        "the host ended before its answer came; what you said is kept",
        next_step="start the host again (microclaw up): it answers then, and the next microclaw chat shows it",
    )


def cancel(host: HostClient, chat_id: str) -> bool:
    """Ask the host to end the turn of a chat at the next safe point, with an answer; False when there is none."""
    return bool(host.post(f"/v1/chat/{segment(chat_id)}/cancel")["cancelled"])


def show_undelivered(host: HostClient, terminal: Terminal, *, chat_id: str) -> None:
    """What this chat has not been shown yet: answers that came when nobody listened, and notes."""
    chat = f"/v1/chat/{segment(chat_id)}"
    shown = []
    for message in host.get(f"{chat}/undelivered")["messages"]:
        answer = answer_from(message["answer"])
        terminal.row("earlier" if message["kind"] == "answer" else "note", answer.text)
        if answer.next_step:
            terminal.row("next", answer.next_step)
        shown.append(answer.outbound_id)
    if shown:
        host.post(f"{chat}/delivered", {"outbound_ids": shown})


def converse(
    host: HostClient,
    terminal: Terminal,
    *,
    chat_id: str,
    device: str | None,
    history: Path | None,
    approver: Approver | None = None,
) -> None:
    """Read, send and show until the person leaves. An error is shown and the conversation goes on.

    Enter alone is a yes where the answer asks whether a sentence was read rightly.
    """
    read_line = line_reader(history)
    enter = ""
    while (text := read_line(enter=enter)) is not None:
        enter = ""
        if not text:
            continue
        try:
            show_undelivered(host, terminal, chat_id=chat_id)
            answer = say(host, text, chat_id=chat_id, device=device, terminal=terminal, approver=approver)
            enter = "yes" if answer.error_code == "confirm_reading" else ""
        except KeyboardInterrupt:
            terminal.line("interrupted")
        except NoHost:
            raise
        except MicroclawError as exc:
            terminal.error(exc)


@contextmanager
def _cancelling(host: HostClient, chat_id: str) -> Iterator[None]:
    """While inside, the first SIGINT cancels the turn and the next ones interrupt."""

    def on_interrupt(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        if not cancel(host, chat_id):
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
