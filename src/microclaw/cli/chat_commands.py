"""`microclaw chat`: one message or a conversation with the agent. Shows the turn, passes Ctrl-C on as a cancel."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from microclaw.cli.approval_prompt import ApprovalPrompt
from microclaw.cli.options import INTERRUPTED, GlobalOptions, global_options
from microclaw.errors import MicroclawError, NoHost, ProtocolError, exit_code_of
from microclaw.events import Answer, ApprovalAsked, ApprovalSettled, Delta, Step, ToolRun
from microclaw.host_client.client import HostClient
from microclaw.host_client.request import HostError, segment
from microclaw.terminal.page import Terminal
from microclaw.terminal.prompt import line_reader
from microclaw.wire.host_api import Failure, answer_from, answer_object


def chat(
    ctx: typer.Context,
    message: Annotated[list[str] | None, typer.Argument(help="One message; without it a conversation.")] = None,
    session: Annotated[str, typer.Option("--session", help="The conversation's name.")] = "terminal",
) -> None:
    """Talk to the agent."""
    options = global_options(ctx)
    text = " ".join(message or []).strip()
    if text:
        _one_message(options, text, session)
    elif message:
        raise typer.BadParameter("the message has no words; leave it out for a conversation", param_hint="MESSAGE")
    elif options.json:
        raise typer.BadParameter("--json needs a message", param_hint="MESSAGE")
    else:
        _conversation(options, session)


def _one_message(options: GlobalOptions, text: str, session: str) -> None:
    terminal = None if options.json or options.quiet else options.terminal()
    host = options.host()
    if terminal is not None:
        show_undelivered(host, terminal, chat_id=session)
    prompt = _prompt(options, host, session)
    answer = say(host, text, chat_id=session, device=options.device, terminal=terminal, prompt=prompt)
    if options.json:
        value = answer_object(answer)
        value["answer"] = value.pop("text")
        for action in value["actions"]:
            action["args"] = _arguments(action["args"])
        options.document("chat", value)
    elif options.quiet:
        options.terminal().answer(answer)
    if answer.error_code:
        raise typer.Exit(INTERRUPTED if answer.error_code == "cancelled" else exit_code_of(answer.error_code))


def _prompt(options: GlobalOptions, host: HostClient, session: str) -> ApprovalPrompt:
    return ApprovalPrompt(host, options.terminal(), options.yes, lambda: cancel(host, session))


def _arguments(text: str) -> Any:
    """A tool's arguments as the JSON they are; a model may have written something else."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _conversation(options: GlobalOptions, session: str) -> None:
    host = options.host()
    status = host.get("/v1/status")
    terminal = options.terminal()
    if not options.quiet:
        terminal.row("model", str(status["model"]))
        terminal.row("", "exit or Ctrl-D leaves, Ctrl-C cancels what is going on")
    show_undelivered(host, terminal, chat_id=session)
    history = options.settings().chat_history
    prompt = _prompt(options, host, session)
    converse(host, terminal, chat_id=session, device=options.device, history=history, prompt=prompt)


def say(
    host: HostClient,
    text: str,
    *,
    chat_id: str,
    device: str | None,
    terminal: Terminal | None,
    prompt: ApprovalPrompt | None = None,
) -> Answer:
    """Send one message and show what comes; Ctrl-C cancels the turn, a second one stops listening.

    With --yes an answer that waits for a yes gets it.
    """
    with _cancelling(host, chat_id):
        answer = listen(host, text, chat_id=chat_id, device=device, terminal=terminal, prompt=prompt)
        if answer.waits_for_yes and prompt is not None and prompt.yes:
            answer = listen(
                host, _confirmation(answer), chat_id=chat_id, device=device, terminal=terminal, prompt=prompt
            )
        return answer


def listen(
    host: HostClient,
    text: str,
    *,
    chat_id: str,
    device: str | None,
    terminal: Terminal | None,
    prompt: ApprovalPrompt | None = None,
) -> Answer:
    """Send one message and show what comes; Ctrl-C stops listening, and the turn goes on."""
    body = {"text": text, "chat_id": chat_id, "device": device}
    for event in host.stream("/v1/chat", body):
        match event:
            case ApprovalAsked() if prompt is not None:
                prompt.ask(event)
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


def _confirmation(answer: Answer) -> str:
    """What confirms this answer and no other: its own sentence, or the yes that names what it is for.

    A bare yes could confirm the question of another terminal in the same chat.
    """
    return answer.text.removesuffix("?") if answer.error_code == "confirm_reading" else answer.next_step or "yes"


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
    prompt: ApprovalPrompt | None = None,
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
            answer = say(host, text, chat_id=chat_id, device=device, terminal=terminal, prompt=prompt)
            enter = _confirmation(answer) if answer.error_code == "confirm_reading" else ""
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
