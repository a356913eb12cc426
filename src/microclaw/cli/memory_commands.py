"""`microclaw memory edit`: a text of the memory in the person's editor."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

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
    path = _edited(found.text)
    text = path.read_text(errors="replace")
    if text != found.text:
        try:
            host.call(knowledge.edit_memory, text=text, was=found.digest, name=name)
        except MicroclawError:
            options.terminal().row("memory", f"what you wrote is in {path}")
            raise
    path.unlink()
    said = f"changed: {found.file}; the old version is kept" if text != found.text else "nothing was changed"
    options.report("memory_edit", {"changed": text != found.text, "file": found.file}, said)


def _edited(text: str) -> Path:
    """The file with the text as the person's editor left it."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    fd, name = tempfile.mkstemp(prefix="microclaw-memory-", suffix=".md")
    with os.fdopen(fd, "w") as file:
        file.write(text)
    try:
        subprocess.run([*shlex.split(editor), name], check=True)
    except (OSError, ValueError, subprocess.CalledProcessError) as exc:
        Path(name).unlink()
        raise ConfigError(f"nothing was changed: {exc}", next_step="set EDITOR to an editor, or edit again") from exc
    return Path(name)
