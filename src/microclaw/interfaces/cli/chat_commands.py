"""`microclaw chat`: one message or a conversation; Ctrl-C cancels. `memory edit`: a text of the memory in an editor."""

from __future__ import annotations

import json
import os
import shlex
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from click.exceptions import Exit
from msgspec import Struct

from microclaw.agent.knowledge import operations as knowledge
from microclaw.agent.knowledge.memory import MEMORY
from microclaw.errors import ConfigError, MicroclawError, NoHost, exit_code_of
from microclaw.events import Answer, ApprovalSettled, Delta, Step, ToolRun
from microclaw.host.operations.client import Client
from microclaw.host.operations.connection import segment
from microclaw.interfaces.api.operations import read_status
from microclaw.interfaces.cli.options import INTERRUPTED, GlobalOptions, command, needs_terminal, on_interrupt
from microclaw.interfaces.terminal.page import Terminal
from microclaw.interfaces.terminal.prompt import line_reader
from microclaw.text import clean_text
from microclaw.wire.host_api import StreamEvent, answer_from, answer_object


@command()
@click.argument("message", nargs=-1, help="One message; without it a conversation.")
@click.option("--session", default="terminal", help="The conversation's name.")
def chat(options: GlobalOptions, message: tuple[str, ...], session: str) -> None:
    """Talk to the agent."""
    text = " ".join(message).strip()
    if message and not text:
        raise click.BadParameter("the message has no words; leave it out for a conversation", param_hint="MESSAGE")
    if options.json and not message:
        raise click.BadParameter("--json needs a message", param_hint="MESSAGE")
    host: Client = options.host(lambda: cancel(host, session))
    conversation = Conversation(
        host,
        options.terminal(),
        session,
        device=options.device,
        yes=options.yes,
        tasks_folder=options.settings().tasks_folder if options.address() is None else None,
        shows=not message or not (options.json or options.quiet),
    )
    if message:
        _send_message(options, conversation, text)
        return
    status = host.call(read_status)
    if not options.quiet:
        conversation.terminal.row("model", status.model)
        conversation.terminal.row("", "exit or Ctrl-D leaves, Ctrl-C cancels the present work")
    conversation.show_undelivered()
    conversation.converse(options.settings().chat_history)


def _send_message(options: GlobalOptions, conversation: Conversation, text: str) -> None:
    """Send one message and print its answer. End with the exit code of an error."""
    conversation.show_undelivered()
    answer = conversation.say(text)
    if options.json:
        options.document("chat", _answer_document(answer))
    elif options.quiet:
        conversation.terminal.answer(answer)
        conversation.show_files(answer)
    if answer.error_code == "cancelled":
        raise Exit(INTERRUPTED)
    if answer.error_code:
        raise Exit(exit_code_of(answer.error_code))


def _answer_document(answer: Answer) -> dict[str, Any]:
    """Return an answer as JSON, with the arguments of its actions as JSON values."""
    document = answer_object(answer)
    document["answer"] = document.pop("text")
    for action in document["actions"]:
        # A model may have written arguments that are not JSON.
        with suppress(ValueError, RecursionError):
            action["args"] = json.loads(action["args"])
    return document


class Conversation(Struct, frozen=True):
    """A chat with the agent. It prints events and answers if it `shows` them; `yes` is the option --yes.

    `tasks_folder` is the folder with the files of tasks, None for a host on another machine.
    """

    host: Client
    terminal: Terminal
    chat_id: str
    device: str | None = None
    yes: bool = False
    tasks_folder: Path | None = None
    shows: bool = True

    def say(self, text: str) -> Answer:
        """Send one message and show its events; Ctrl-C cancels the turn, a second one stops listening.

        With --yes an answer that asks for a yes gets it, but a question about the meaning of the sentence does not.
        """

        def stop() -> None:
            if not cancel(self.host, self.chat_id):
                raise KeyboardInterrupt

        with on_interrupt(stop, once=True):
            answer = self.listen(text)
            if answer.error_code == "confirm" and self.yes:
                answer = self.listen(_confirmation_text(answer))
            return answer

    def listen(self, text: str) -> Answer:
        """Send one message and show its events; Ctrl-C stops listening, and the turn continues."""
        answer = self.host.watching(self._show).say(text, chat_id=self.chat_id, device=self.device)
        if self.shows:
            self.show_files(answer)
        return answer

    def _show(self, event: StreamEvent) -> None:
        if self.shows and isinstance(event, Step | Delta | ToolRun | ApprovalSettled | Answer):
            self.terminal.event(event)

    def show_undelivered(self) -> None:
        """Show answers that came while this chat was closed, and notes. Report to the host that they were shown."""
        if not self.shows:
            return
        chat = f"/v1/chat/{segment(self.chat_id)}"
        shown_ids = []
        for message in self.host.get(f"{chat}/undelivered")["messages"]:
            answer = answer_from(message["answer"])
            title = "earlier" if message["kind"] == "answer" else "note"
            self.terminal.row(title, answer.text)
            self.show_files(answer)
            if answer.next_step:
                self.terminal.row("next", answer.next_step)
            if answer.outbound_id is not None:
                shown_ids.append(answer.outbound_id)
        if shown_ids:
            self.host.post(f"{chat}/delivered", {"outbound_ids": shown_ids})

    def show_files(self, answer: Answer) -> None:
        """Print the paths of an answer's files, or the commands that fetch them."""
        if not answer.files:
            return
        # Imported here, because it brings the store, and few answers have files.
        from microclaw.agent.tasks.folders import kept_file

        for file in answer.files:
            name = clean_text(file.name, one_line=True)
            if self.tasks_folder is not None:
                self.terminal.row("file", str(kept_file(self.tasks_folder, file.task, name)))
            else:
                words = ("microclaw", "task", "get", str(file.task), name, "-o", name.rpartition("/")[2])
                self.terminal.row("file", shlex.join(words))

    def converse(self, history: Path | None) -> None:
        """Read, send and show until the user leaves. An error is shown and the conversation continues.

        Enter without a word is a yes if the answer asks whether a sentence was understood.
        """
        read_line = line_reader(history)
        enter = ""
        while (text := read_line(enter=enter)) is not None:
            enter = ""
            if not text:
                continue
            try:
                self.show_undelivered()
                answer = self.say(text)
                if answer.error_code == "confirm_reading":
                    enter = _confirmation_text(answer)
            except KeyboardInterrupt:
                self.terminal.line("interrupted")
            except NoHost:
                raise
            except MicroclawError as exc:
                self.terminal.error(exc)


def _confirmation_text(answer: Answer) -> str:
    """Return the words that confirm only this answer: its own sentence, or the yes that names its action.

    A bare yes could confirm the question of another terminal in the same chat.
    """
    if answer.error_code == "confirm_reading":
        return answer.text.removesuffix("?")
    return answer.next_step or "yes"


def cancel(host: Client, chat_id: str) -> bool:
    """Ask the host to end the turn of a chat at the next safe point, with an answer. Return False if no turn runs."""
    return bool(host.post(f"/v1/chat/{segment(chat_id)}/cancel")["cancelled"])


memory_group = click.Group(no_args_is_help=True)


@command(memory_group, "edit")
@click.argument("name", default=MEMORY, help="USER.md, SOUL.md, HEARTBEAT.md or a day's note as 2026-11-20.md.")
def edit_memory(options: GlobalOptions, name: str) -> None:
    """Edit MEMORY.md, or the text of that name, with $EDITOR."""
    host = options.host()
    memory = host.call(knowledge.show_memory, name=name)
    if not (os.environ.get("VISUAL") or os.environ.get("EDITOR")):
        # The system's usual editor would wait for a terminal forever.
        needs_terminal(f"edit {name}?", "set EDITOR to a command that edits a file, or run it at a terminal")
    try:
        edited = click.edit(memory.text.encode(), extension=".md", require_save=False) or b""
    except (click.ClickException, ValueError) as exc:
        raise ConfigError(f"nothing was changed: {exc}", next_step="set EDITOR to an editor, or edit again") from exc
    text = edited.decode(errors="replace")
    is_changed = text != memory.text
    if is_changed:
        try:
            host.call(knowledge.edit_memory, text=text, was=memory.digest, name=name)
        except (MicroclawError, KeyboardInterrupt):
            path = _save_edited(edited)
            options.terminal().row("memory", f"what you wrote is in {path}")
            raise
    report = f"changed: {memory.file}" if is_changed else "nothing was changed"
    options.report("memory_edit", {"changed": is_changed, "file": memory.file}, report)


def _save_edited(content: bytes) -> str:
    """Write a text that the host did not take to a temporary file, so that it is not lost. Return its path."""
    fd, path = tempfile.mkstemp(prefix="microclaw-memory-", suffix=".md")
    with os.fdopen(fd, "wb") as file:
        file.write(content)
    return path
