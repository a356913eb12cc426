"""`microclaw memory`, `session` and `skill`: memory, conversations and skills, through the host. It keeps nothing."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

from microclaw.cli.options import FAILED, command_group, global_options
from microclaw.client.request import segment
from microclaw.errors import ConfigError, EmptyMessage, MicroclawError, UnknownName

memory_group = command_group()
session_group = command_group()
SEE_SESSIONS: Final = "microclaw session list"
MEMORY: Final = "MEMORY.md"
TextName: TypeAlias = Annotated[
    str | None, typer.Argument(help="USER.md, SOUL.md, HEARTBEAT.md or a day's note as 2026-11-20.md.")
]
skill_group = command_group()
SEE_SKILLS: Final = "microclaw skill list"


@memory_group.command("show")
def show_memory(
    ctx: typer.Context,
    name: TextName = None,
) -> None:
    """Print MEMORY.md and the notes of today and yesterday, or the text of that name."""
    options = global_options(ctx)
    found = options.fetch("memory", "/v1/memory", {"name": _text_name(name)})
    nothing = "nothing is remembered yet" if name in (None, MEMORY) else "nothing is written there yet"
    options.line(found["text"].rstrip("\n") or nothing)
    for note in found["notes"] if name is None else ():
        options.line()
        options.line(note["text"].rstrip("\n"))
    options.say(f"\n{found['file']}")


@memory_group.command("edit")
def edit_memory(ctx: typer.Context, name: TextName = None) -> None:
    """Edit MEMORY.md, or the text of that name, with $EDITOR; the old version is kept."""
    options = global_options(ctx)
    wanted = _text_name(name)
    host = options.host()
    found = host.memory.get(wanted)
    path, text = _edited(found["text"])
    if text == found["text"]:
        path.unlink()
        options.say("nothing was changed")
    else:
        try:
            host.memory.write(text, found["digest"], name=wanted)
        except MicroclawError:
            options.terminal().row("memory", f"what you wrote is in {path}")
            raise
        path.unlink()
        old = Path(found["file"]).parent / "versions"
        kept = f"is in {old}" if old.is_absolute() else "is kept"
        options.say(f"changed: {found['file']}; the old version {kept}")
    options.wrote_json("memory_edit", {"changed": text != found["text"], "file": found["file"]})


@memory_group.command("search")
def search_memory(
    ctx: typer.Context,
    words: Annotated[list[str], typer.Argument(metavar="WORDS...", help="What to look for.")],
    limit: Annotated[int, typer.Option("--limit", min=1, max=50, help="At most N.")] = 10,
) -> None:
    """Find notes, memories and what was said, best first."""
    options = global_options(ctx)
    wanted = " ".join(words).strip()
    if not wanted:
        raise EmptyMessage("there is nothing to look for", next_step="microclaw memory search WORDS")
    found = options.fetch("memory_search", "/v1/memory/search", {"q": wanted, "limit": limit})
    for one in found["found"]:
        options.line(f"{one['day']}  {one['source']}")
        options.line(f"    {' '.join(one['text'].split())}")
    if not found["found"]:
        options.line("nothing was found")


def _text_name(name: str | None) -> str:
    if name is not None and not name.endswith(".md"):
        find = f"find it: microclaw memory search {shlex.quote(name)}" if name.strip() else "microclaw memory show"
        raise UnknownName(f"there is no text {name[:80]!r}: their names end in .md", next_step=find)
    return MEMORY if name is None else name


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


@session_group.command("list")
def list_sessions(ctx: typer.Context) -> None:
    """List conversations, the latest first."""
    options = global_options(ctx)
    found = options.fetch("sessions", "/v1/sessions")
    rows = [(s["name"], _when(s["changed_s"]), f"{s['size_bytes']:,} B") for s in found["sessions"]]
    options.table(rows, head=("NAME", "LAST", "SIZE"))


@session_group.command("show")
def show_session(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="As session list names it, or its chat alone.")],
    newest: Annotated[int, typer.Option("-n", "--newest", min=1, max=1000, help="So many messages.")] = 40,
) -> None:
    """Print the newest messages of a conversation."""
    options = global_options(ctx)
    found = options.fetch("session", f"/v1/sessions/{segment(name, SEE_SESSIONS)}", {"newest": newest})
    for message in found["messages"]:
        who = message["person"] if message["role"] == "user" else "microclaw"
        options.line(f"{_when(message['ts'])}  {who}: {message['content']}")


@session_group.command("rm")
def remove_session(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="As session list names it, or its chat alone.")],
) -> None:
    """Remove a conversation and its words for good; memory, schedules and programs stay."""
    options = global_options(ctx)
    segment(name, SEE_SESSIONS)
    if not options.json:
        options.agree(f"Remove the conversation {name} for good?")
    found = options.host().sessions.remove(name)
    text = f"removed {found['removed']}, its words everywhere; kept: {', '.join(found['kept'])}"
    options.report("session_rm", found, text)


def _when(seconds: int) -> str:
    """Local time; the number itself where no calendar reaches (files of others may count milliseconds)."""
    try:
        return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return f"@{seconds}"


@skill_group.command("list")
def list_skills(ctx: typer.Context) -> None:
    """List skills: yours, then the shipped ones."""
    options = global_options(ctx)
    found = options.fetch("skills", "/v1/skills")
    rows = [(s["name"], "shipped" if s["shipped"] else "yours", s["description"]) for s in found["skills"]]
    rows += [(b["name"], "broken", f"microclaw skill check {b['name']}") for b in found["broken"]]
    options.table(rows, head=("NAME", "FROM", "WHAT IT IS FOR"))
    options.say(f"\nyours are folders in {found['folder']}")


@skill_group.command("show")
def show_skill(ctx: typer.Context, name: Annotated[str, typer.Argument(help="The skill's name.")]) -> None:
    """Print a skill's text."""
    options = global_options(ctx)
    found = options.fetch("skill", f"/v1/skills/{segment(name, SEE_SKILLS)}")
    options.line(found["text"])
    for file in found["files"]:
        options.say(f"file: {file}")


@skill_group.command("check")
def check_skills(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="The skill's name; every one without it.")] = None,
) -> None:
    """Check skills: each mistake with its line. Exit code 1 when one cannot be used."""
    options = global_options(ctx)
    host = options.host()
    if name is None:
        listed = host.skills.list()
        names = [each["name"] for each in (*listed["skills"], *listed["broken"])]
    else:
        names = [name]
    checked = [host.skills.check(each) for each in names]
    if not options.wrote_json("skill_check", {"skills": checked}):
        for each in checked:
            for mistake in each["mistakes"]:
                options.line(mistake["text"])
            if not each["mistakes"]:
                options.say(f"{each['name']}: ok")
    if not all(each["ok"] for each in checked):
        raise typer.Exit(FAILED)
