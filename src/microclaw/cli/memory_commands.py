"""`microclaw memory edit`: a text of the memory in the person's editor."""

from __future__ import annotations

import os
import tempfile

import click

from microclaw.cli.options import GlobalOptions, command_group
from microclaw.errors import ConfigError, MicroclawError
from microclaw.knowledge import operations as knowledge
from microclaw.knowledge.memory import MEMORY

memory_group = command_group()


@memory_group.command("edit")
@click.argument("name", default=MEMORY, help="USER.md, SOUL.md, HEARTBEAT.md or a day's note as 2026-11-20.md.")
@click.pass_obj
def edit_memory(options: GlobalOptions, name: str) -> None:
    """Edit MEMORY.md, or the text of that name, with $EDITOR; the old version is kept."""
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
    said = f"changed: {found.file}; the old version is kept" if text != found.text else "nothing was changed"
    options.report("memory_edit", {"changed": text != found.text, "file": found.file}, said)
