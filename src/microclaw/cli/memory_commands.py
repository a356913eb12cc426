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

memory_group = command_group()


@memory_group.command("edit")
@click.argument(
    "name", default=knowledge.MEMORY, help="USER.md, SOUL.md, HEARTBEAT.md or a day's note as 2026-11-20.md."
)
@click.pass_obj
def edit_memory(options: GlobalOptions, name: str) -> None:
    """Edit MEMORY.md, or the text of that name, with $EDITOR; the old version is kept."""
    host = options.host()
    found = host.call(knowledge.show_memory, name=name)
    path, text = _edited(found.text)
    if text == found.text:
        path.unlink()
        options.say("nothing was changed")
    else:
        try:
            host.call(knowledge.edit_memory, text=text, was=found.digest, name=name)
        except MicroclawError:
            options.terminal().row("memory", f"what you wrote is in {path}")
            raise
        path.unlink()
        old = Path(found.file).parent / "versions"
        kept = f"is in {old}" if old.is_absolute() else "is kept"
        options.say(f"changed: {found.file}; the old version {kept}")
    options.wrote_json("memory_edit", {"changed": text != found.text, "file": found.file})


def _edited(text: str) -> tuple[Path, str]:
    """The text as the person's editor left it, and where that is."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    fd, name = tempfile.mkstemp(prefix="microclaw-memory-", suffix=".md")
    path = Path(name)
    with os.fdopen(fd, "w") as file:
        file.write(text)
    try:
        words = shlex.split(editor)
        done = subprocess.run([*words, name], check=False)
    except (OSError, ValueError) as exc:
        path.unlink()
        raise ConfigError(f"the editor {editor!r} cannot be started: {exc}", next_step="set EDITOR to one") from exc
    if done.returncode != 0:
        path.unlink()
        raise ConfigError(
            f"{editor} ended with {done.returncode}: nothing was changed", next_step="edit once more, and save"
        )
    return path, path.read_text(errors="replace")
