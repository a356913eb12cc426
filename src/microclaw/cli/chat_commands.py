"""`microclaw chat`: a message or a conversation, Ctrl-C is a cancel. `memory edit`: a text of it in an editor."""

from __future__ import annotations

import json
import os
import shlex
import tempfile
from contextlib import suppress
from pathlib import Path

import click
from click.exceptions import Exit
from msgspec import Struct

from microclaw.api.operations import read_status
from microclaw.cli.options import INTERRUPTED, GlobalOptions, command, on_interrupt
from microclaw.errors import ConfigError, MicroclawError, NoHost, exit_code_of
from microclaw.events import Answer, ApprovalSettled, Delta, Step, ToolRun
from microclaw.knowledge import operations as knowledge
from microclaw.knowledge.memory import MEMORY
from microclaw.operations.client import Client
from microclaw.operations.connection import segment
from microclaw.terminal.page import Terminal
from microclaw.terminal.prompt import line_reader
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
    saved = options.settings().tasks_folder if options.address() is None else None
    shows = not message or not (options.json or options.quiet)
    conversation = Conversation(host, options.terminal(), session, options.device, options.yes, saved, shows)
    if message:
        _one_message(options, conversation, text)
        return
    status = host.call(read_status)
    if not options.quiet:
        conversation.terminal.row("model", status.model)
        conversation.terminal.row("", "exit or Ctrl-D leaves, Ctrl-C cancels what is going on")
    conversation.show_undelivered()
    conversation.converse(options.settings().chat_history)


def _one_message(options: GlobalOptions, conversation: Conversation, text: str) -> None:
    conversation.show_undelivered()
    answer = conversation.say(text)
    if options.json:
        value = answer_object(answer)
        value["answer"] = value.pop("text")
        for action in value["actions"]:
            with suppress(ValueError, RecursionError):  # a model may have written something else than JSON
                action["args"] = json.loads(action["args"])
        options.document("chat", value)
    elif options.quiet:
        conversation.terminal.answer(answer)
        conversation.tell_files(answer)
    if answer.error_code:
        raise Exit(INTERRUPTED if answer.error_code == "cancelled" else exit_code_of(answer.error_code))


class Conversation(Struct, frozen=True):
    """A chat with the agent, which `shows` what comes or only answers; `yes` is that of --yes.

    `saved` is where the host keeps files of tasks, None for a host on another machine.
    """

    host: Client
    terminal: Terminal
    chat_id: str
    device: str | None = None
    yes: bool = False
    saved: Path | None = None
    shows: bool = True

    def say(self, text: str) -> Answer:
        """Send one message and show what comes; Ctrl-C cancels the turn, a second one stops listening.

        With --yes an answer that waits for a yes gets it, but not one that asks whether the sentence was read rightly.
        """

        def stop() -> None:
            if not cancel(self.host, self.chat_id):
                raise KeyboardInterrupt

        with on_interrupt(stop, once=True):
            answer = self.listen(text)
            if answer.error_code == "confirm" and self.yes:
                answer = self.listen(_confirmation(answer))
            return answer

    def listen(self, text: str) -> Answer:
        """Send one message and show what comes; Ctrl-C stops listening, and the turn goes on."""
        answer = self.host.watching(self._show).say(text, chat_id=self.chat_id, device=self.device)
        if self.shows:
            self.tell_files(answer)
        return answer

    def _show(self, event: StreamEvent) -> None:
        if self.shows and isinstance(event, Step | Delta | ToolRun | ApprovalSettled | Answer):
            self.terminal.event(event)

    def show_undelivered(self) -> None:
        """Show this chat what it has not seen yet: answers that came when nobody listened, and notes."""
        if not self.shows:
            return
        shown = []
        for message in self.host.get(f"/v1/chat/{segment(self.chat_id)}/undelivered")["messages"]:
            answer = answer_from(message["answer"])
            self.terminal.row("earlier" if message["kind"] == "answer" else "note", answer.text)
            self.tell_files(answer)
            if answer.next_step:
                self.terminal.row("next", answer.next_step)
            if answer.outbound_id is not None:
                shown.append(answer.outbound_id)
        if shown:
            self.host.post(f"/v1/chat/{segment(self.chat_id)}/delivered", {"outbound_ids": shown})

    def tell_files(self, answer: Answer) -> None:
        """Print where the files of an answer are, or how to get them."""
        if answer.files:
            from microclaw.tasks.folders import kept_file  # brings the store; few answers have files

        for file in answer.files:
            name = clean_text(file.name, one_line=True)
            if self.saved is not None:
                place = str(kept_file(self.saved, file.task, name))
            else:
                words = ("microclaw", "task", "get", str(file.task), name, "-o", name.rpartition("/")[2])
                place = shlex.join(words)
            self.terminal.row("file", place)

    def converse(self, history: Path | None) -> None:
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
                self.show_undelivered()
                answer = self.say(text)
                if answer.error_code == "confirm_reading":
                    enter = _confirmation(answer)
                else:
                    enter = ""
            except KeyboardInterrupt:
                self.terminal.line("interrupted")
            except NoHost:
                raise
            except MicroclawError as exc:
                self.terminal.error(exc)


def _confirmation(answer: Answer) -> str:
    """The words that confirm this answer and no other: its own sentence, or the yes that names what it is for.

    A bare yes could confirm the question of another terminal in the same chat.
    """
    if answer.error_code == "confirm_reading":
        return answer.text.removesuffix("?")
    return answer.next_step or "yes"


def cancel(host: Client, chat_id: str) -> bool:
    """Ask the host to end the turn of a chat at the next safe point, with an answer; False when there is none."""
    return bool(host.post(f"/v1/chat/{segment(chat_id)}/cancel")["cancelled"])


memory_group = click.Group(no_args_is_help=True)


@command(memory_group, "edit")
@click.argument("name", default=MEMORY, help="USER.md, SOUL.md, HEARTBEAT.md or a day's note as 2026-11-20.md.")
def edit_memory(options: GlobalOptions, name: str) -> None:
    """Edit MEMORY.md, or the text of that name, with $EDITOR."""
    host = options.host()
    found = host.call(knowledge.show_memory, name=name)
    try:
        edited = click.edit(found.text.encode(), extension=".md", require_save=False) or b""
    except (click.ClickException, ValueError) as exc:
        raise ConfigError(f"nothing was changed: {exc}", next_step="set EDITOR to an editor, or edit again") from exc
    text = edited.decode(errors="replace")
    if text != found.text:
        try:
            host.call(knowledge.edit_memory, text=text, was=found.digest, name=name)
        except (MicroclawError, KeyboardInterrupt):
            fd, path = tempfile.mkstemp(prefix="microclaw-memory-", suffix=".md")
            with os.fdopen(fd, "wb") as file:
                file.write(edited)
            options.terminal().row("memory", f"what you wrote is in {path}")
            raise
    if text != found.text:
        said = f"changed: {found.file}"
    else:
        said = "nothing was changed"
    options.report("memory_edit", {"changed": text != found.text, "file": found.file}, said)
