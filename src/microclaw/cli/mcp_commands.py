"""`microclaw mcp`: serve MCP on stdio or HTTP, write it into assistants' settings. The protocol is in microclaw.mcp."""

from __future__ import annotations

import os
import shutil
import sys
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import click

from microclaw.addresses import bracketed
from microclaw.cli.options import GlobalOptions
from microclaw.mcp.server.install import (
    CLIENTS,
    Edit,
    entry,
    installed_from,
    installing,
    own_command,
    settings_file,
    uninstalling,
    write,
)


@click.group(invoke_without_command=True)
@click.option("--all-tools", is_flag=True, help="Offer the agent's own tools too: web, files, memory.")
@click.option("--http", metavar="HOST:PORT", help="Serve HTTP there; off loopback only with TLS.")
@click.option("--certificate", type=Path, metavar="FILE", help="TLS certificate chain, PEM.")
@click.option("--key", type=Path, metavar="FILE", help="Its private key, PEM.")
@click.pass_obj
def mcp_group(
    options: GlobalOptions, all_tools: bool, http: str | None, certificate: Path | None, key: Path | None
) -> None:
    """Serve an MCP client on stdin and stdout; starts the host with a virtual board where none runs.

    With --http it serves clients that show a token (microclaw person tokens --add NAME), until Ctrl-C.
    """
    if click.get_current_context().invoked_subcommand is not None:
        return
    if http is not None:
        _serve(options, http, certificate, key)
        return
    settings = options.settings()
    from microclaw.mcp.server.stdio import serve_stdio

    serve_stdio(settings.home, settings.control_socket, every_tool=all_tools)


def _serve(options: GlobalOptions, http: str, certificate: Path | None, key: Path | None) -> None:
    host, port = _place(http)
    settings = options.settings()
    import asyncio

    from microclaw.api.server import HeadTimeout, TimeoutConfig, tcp_listener
    from microclaw.audit import AuditLog
    from microclaw.mcp.server.http import PATH, check_address, host_address, serve_http
    from microclaw.operations.host_address import trusted_authorities

    check_address(host, certificate, key)
    with tcp_listener(host, port, next_step="microclaw mcp --http 127.0.0.1:0") as listener:
        from microclaw.mcp.server.shared_host import SharedHost

        with SharedHost(settings.home, settings.control_socket) as attachment:
            address = asyncio.run(host_address(attachment, settings.control_socket))
            shown = bracketed(host)
            url = f"{'http' if certificate is None else 'https'}://{shown}:{listener.getsockname()[1]}{PATH}"
            if not options.wrote_json("mcp", {"ready": True, "url": url}):
                options.line(f"MCP at {url} with a token; make one: microclaw person tokens --add NAME")
            names = ("127.0.0.1", "localhost", "[::1]") if certificate is None else (shown,)
            patient = partial(TimeoutConfig, http=HeadTimeout)

            async def serve_and_record() -> None:
                async with AuditLog.opened(settings.home) as audit:
                    await serve_http(
                        address,
                        listener,
                        names=names,
                        certificate=certificate,
                        key=key,
                        record=audit.record,
                        authorities=trusted_authorities(settings.home, os.environ),
                        make_config=patient,
                    )

            asyncio.run(serve_and_record())


@mcp_group.command("install")
@click.argument("client", metavar="claude-desktop|claude-code|cursor")
@click.option("--remove", is_flag=True, help="Take it out of there again.")
@click.pass_obj
def install(options: GlobalOptions, client: str, remove: bool) -> None:
    """Write this server into an assistant's settings: shown first, the old file is kept."""
    name = next((one for one in CLIENTS if one == client), None)
    if name is None:
        raise click.BadParameter(f"{client!r} is none of {', '.join(CLIENTS)}")
    path = settings_file(name, Path.home(), os.environ)
    if remove:
        _apply(options, name, uninstalling(path), done=f"taken out of {name}: restart it")
        return
    home = options.home or (Path(os.environ["MICROCLAW_HOME"]) if os.environ.get("MICROCLAW_HOME") else None)
    command = own_command(sys.argv[0], uvx=shutil.which("uvx"), source=installed_from())
    value = entry(name, command, None if home is None else home.expanduser().absolute())
    _apply(options, name, installing(path, value), done=f"installed in {name}: restart it")


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


def _place(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise click.BadParameter(f"{text!r} is not HOST:PORT", param_hint="--http")
    return host.removeprefix("[").removesuffix("]"), int(port)
