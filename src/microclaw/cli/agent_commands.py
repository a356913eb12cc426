"""`microclaw chat`: talk to the agent, one message or a conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from microclaw.cli.invocation import INTERRUPTED, Invocation, invocation

if TYPE_CHECKING:
    from microclaw.cli.approving import Approver
    from microclaw.cli.host_client import HostClient


def register(app: typer.Typer) -> None:
    app.command()(chat)


def chat(
    ctx: typer.Context,
    message: Annotated[list[str] | None, typer.Argument(help="One message; without it a conversation.")] = None,
    session: Annotated[str, typer.Option("--session", help="The conversation's name.")] = "terminal",
) -> None:
    """Talk to the agent."""
    options = invocation(ctx)
    text = " ".join(message or []).strip()
    if text:
        _one_message(options, text, session)
    elif options.json:
        raise typer.BadParameter("--json needs a message", param_hint="MESSAGE")
    else:
        _conversation(options, session)


def _one_message(options: Invocation, text: str, session: str) -> None:
    from microclaw.cli.conversation import say, show_undelivered
    from microclaw.errors import exit_code_of
    from microclaw.web.stream import answer_object

    terminal = None if options.json or options.quiet else options.terminal()
    host = options.host()
    if terminal is not None:
        show_undelivered(host, terminal, chat_id=session)
    approver = _approver(options, host, session)
    answer = say(host, text, chat_id=session, device=options.device, terminal=terminal, approver=approver)
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


def _approver(options: Invocation, host: HostClient, session: str) -> Approver:
    from microclaw.cli.approving import Approver
    from microclaw.cli.conversation import cancel

    return Approver(host, options.terminal(), options.yes, lambda: cancel(host, session))


def _arguments(text: str) -> Any:
    """A tool's arguments as the JSON they are; a model may have written something else."""
    import json

    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _conversation(options: Invocation, session: str) -> None:
    from microclaw.cli.conversation import converse, show_undelivered

    host = options.host()
    status = host.get("/v1/status")
    terminal = options.terminal()
    if not options.quiet:
        terminal.row("model", str(status["model"]))
        terminal.row("", "exit or Ctrl-D leaves, Ctrl-C cancels what is going on")
    show_undelivered(host, terminal, chat_id=session)
    history = options.settings().chat_history
    approver = _approver(options, host, session)
    converse(host, terminal, chat_id=session, device=options.device, history=history, approver=approver)
