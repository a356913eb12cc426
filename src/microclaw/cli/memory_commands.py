"""`microclaw memory`: what is remembered, through the host. The editing itself is the person's own editor's."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from microclaw.cli.invocation import invocation
from microclaw.errors import ConfigError, EmptyMessage, MicroclawError, UnknownName


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="What the agent remembers of you.", no_args_is_help=True)
    group.command()(show)
    group.command()(edit)
    group.command()(search)
    app.add_typer(group, name="memory")


def show(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(hidden=True)] = None,
) -> None:
    """Print MEMORY.md and the notes of today and yesterday."""
    options = invocation(ctx)
    if name is not None:
        find = f"find it: microclaw memory search {shlex.quote(name)}" if name.strip() else "microclaw memory show"
        raise UnknownName(f"memory is one page without names: there is no {name[:80]!r}", next_step=find)
    found = options.host().get("/v1/memory")
    if options.json:
        options.document("memory", found)
        return
    options.line(found["text"].rstrip("\n") or "nothing is remembered yet")
    for note in found["notes"]:
        options.line()
        options.line(note["text"].rstrip("\n"))
    options.say(f"\n{found['file']}")


def edit(ctx: typer.Context) -> None:
    """Edit MEMORY.md with $EDITOR; the old version is kept."""
    options = invocation(ctx)
    host = options.host()
    found = host.get("/v1/memory")
    path, text = _edited(found["text"])
    if text == found["text"]:
        path.unlink()
        options.say("nothing was changed")
    else:
        try:
            host.put("/v1/memory", {"text": text, "was": found["digest"]})
        except MicroclawError:
            options.terminal().row("memory", f"what you wrote is in {path}")
            raise
        path.unlink()
        options.say(f"changed: {found['file']}; the old version is in {Path(found['file']).parent / 'versions'}")
    if options.json:
        options.document("memory_edit", {"changed": text != found["text"], "file": found["file"]})


def search(
    ctx: typer.Context,
    words: Annotated[list[str], typer.Argument(metavar="WORDS...", help="What to look for.")],
    limit: Annotated[int, typer.Option("--limit", min=1, max=50)] = 10,
) -> None:
    """Find notes, memories and what was said, best first."""
    options = invocation(ctx)
    wanted = " ".join(words).strip()
    if not wanted:
        raise EmptyMessage("there is nothing to look for", next_step="microclaw memory search WORDS")
    found = options.host().get("/v1/memory/search", {"q": wanted, "limit": limit})
    if options.json:
        options.document("memory_search", found)
        return
    for one in found["found"]:
        options.line(f"{one['day']}  {one['source']}")
        options.line(f"    {' '.join(one['text'].split())}")
    if not found["found"]:
        options.line("nothing was found")


def _edited(text: str) -> tuple[Path, str]:
    """The text as the person's editor left it, and where that is."""
    import os
    import subprocess
    import tempfile

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
