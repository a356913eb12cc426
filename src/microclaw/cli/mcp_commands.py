"""`microclaw mcp`: serve MCP on stdio. The protocol is in microclaw.mcp."""

from __future__ import annotations

import click

from microclaw.cli.options import GlobalOptions


@click.command()
@click.option("--all-tools", is_flag=True, help="Offer the agent's own tools too: web, files, memory.")
@click.pass_obj
def mcp(options: GlobalOptions, all_tools: bool) -> None:
    """Drive the boards from an assistant over MCP.

    It serves a client on stdin and stdout, and starts the host with a virtual board where none runs. Over HTTP the host
    itself serves them, at /mcp of its API, with a token (microclaw person tokens --add NAME).
    """
    settings = options.settings()
    from microclaw.mcp.server.bridge import serve_stdio

    serve_stdio(settings.home, settings.control_socket, every_tool=all_tools)
