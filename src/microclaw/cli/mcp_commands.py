"""`microclaw mcp`: serve MCP on stdio, write it into assistants' settings. The protocol is in microclaw.mcp."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from microclaw.cli.options import GlobalOptions
from microclaw.mcp.server.install import CLIENTS, Edit, edited, entry, own_command, settings_file, write


@click.group(invoke_without_command=True)
@click.option("--all-tools", is_flag=True, help="Offer the agent's own tools too: web, files, memory.")
@click.pass_obj
def mcp_group(options: GlobalOptions, all_tools: bool) -> None:
    """Serve an MCP client on stdin and stdout; starts the host with a virtual board where none runs.

    Over HTTP the host itself serves them, at /mcp of its API, with a token (microclaw person tokens --add NAME).
    """
    if click.get_current_context().invoked_subcommand is not None:
        return
    settings = options.settings()
    from microclaw.mcp.server.bridge import serve_stdio

    serve_stdio(settings.home, settings.control_socket, every_tool=all_tools)


@mcp_group.command("install")
@click.argument("client", metavar="claude-desktop|claude-code|cursor")
@click.option("--remove", is_flag=True, help="Take it out of there again.")
@click.pass_obj
def install(options: GlobalOptions, client: str, remove: bool) -> None:
    """Write this server into an assistant's settings: shown first, the old file is kept."""
    name = next((one for one in CLIENTS if one == client), None)
    if name is None:
        raise click.BadParameter(f"{client!r} is none of {', '.join(CLIENTS)}")
    path = settings_file(name)
    if remove:
        _apply(options, name, edited(path, None), done=f"taken out of {name}: restart it")
        return
    home = options.home or (Path(os.environ["MICROCLAW_HOME"]) if os.environ.get("MICROCLAW_HOME") else None)
    value = entry(name, own_command(sys.argv[0]), None if home is None else home.expanduser().absolute())
    _apply(options, name, edited(path, value), done=f"installed in {name}: restart it")


def _apply(options: GlobalOptions, client: str, edit: Edit, *, done: str) -> None:
    """Show it, ask, write it."""
    facts: dict[str, Any] = {"client": client, "path": str(edit.path), "diff": edit.diff(), "backup": None}
    if not edit.changes:
        options.report("mcp_install", {**facts, "changed": False}, f"nothing to change in {edit.path}")
        return
    if not options.json:
        for line in edit.diff():
            options.line(line)
    options.agree(f"Write {edit.path}?")
    backup = write(edit, datetime.now())
    kept = "" if backup is None else f"; the old file is {backup.name}"
    facts["backup"] = None if backup is None else str(backup)
    options.report("mcp_install", {**facts, "changed": True}, f"{done}{kept}")
