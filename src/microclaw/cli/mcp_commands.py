"""`microclaw mcp`: other assistants drive the boards through this host. The protocol is in microclaw.mcp."""

from __future__ import annotations

from typing import Annotated

import typer

from microclaw.cli.invocation import invocation


def register(app: typer.Typer) -> None:
    group = typer.Typer(invoke_without_command=True, help="Serve MCP on stdin and stdout; more: microclaw mcp --help")
    group.callback()(mcp)
    app.add_typer(group, name="mcp")


def mcp(
    ctx: typer.Context,
    all_tools: Annotated[
        bool, typer.Option("--all-tools", help="Offer the agent's own tools too: web, files, memory.")
    ] = False,
) -> None:
    """Serve an MCP client on stdin and stdout; starts the host with a virtual board where none runs."""
    if ctx.invoked_subcommand is not None:
        return
    settings = invocation(ctx).settings()
    from microclaw.mcp.stdio import serve_stdio

    serve_stdio(settings.home, settings.control_socket, every_tool=all_tools)
