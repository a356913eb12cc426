"""`microclaw up` and `status`: run the host in the foreground, and ask it how it is."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from microclaw.cli.invocation import invocation
from microclaw.cli.link_commands import waiting_lines

DEFAULT_PORT = 8080


def register(app: typer.Typer) -> None:
    app.command()(up)
    app.command()(status)


def up(
    ctx: typer.Context,
    virtual: Annotated[int, typer.Option("--virtual", min=0, max=16, help="Start N virtual boards with it.")] = 0,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The API's port; 0 takes any.")] = DEFAULT_PORT,
    link: Annotated[
        str | None,
        typer.Option("--link", metavar="HOST:PORT|off", help="Where devices connect; 127.0.0.1:8443 unless told."),
    ] = None,
    link_plain: Annotated[bool, typer.Option("--link-plain", hidden=True)] = False,
    die_with_parent: Annotated[bool, typer.Option("--die-with-parent", hidden=True)] = False,
) -> None:
    """Run the host in the foreground; Ctrl-C stops it."""
    options = invocation(ctx)
    from microclaw.config import read_link

    settings = options.settings(http_port=port, link=read_link(link, http_port=port, plain=link_plain))
    from microclaw.cli.hosting import run_host

    def ready(facts: dict[str, Any]) -> None:
        if options.json:
            options.document("up", {"ready": True, **facts})
            return
        terminal = options.terminal()
        took = "" if facts["ready_s"] is None else f" in {facts['ready_s']:.1f} s"
        terminal.row("host", f"ready{took}            api {facts['http']}{link_text(facts['link'])}")
        terminal.row("model", facts["model"])
        for board in facts["boards"]:
            terminal.row("board", f"{board['name']} ({board['title']}, own process {board['pid']})")
        terminal.row("", "Ctrl-C stops it; talk to it from another terminal: microclaw chat")

    run_host(settings, virtual_boards=virtual, ready=ready, verbose=options.verbose, die_with_parent=die_with_parent)


def status(ctx: typer.Context) -> None:
    """What the host is doing: its model, devices and programs."""
    options = invocation(ctx)
    found = options.host().get("/v1/status")
    if options.json:
        options.document("status", found)
        return
    terminal = options.terminal()
    terminal.row("host", f"running (pid {found['pid']}), up {found['up_s']:.0f} s, {found['rss_mb']:.0f} MB")
    terminal.row("api", found["http"] or "only the control socket")
    terminal.row("link", _link_line(found["link"]))
    for line in waiting_lines((found["link"] or {}).get("waiting", ())):
        terminal.row("pairing", line)
    terminal.row("model", found["model"])
    for device in found["devices"]:
        apps = ", ".join(device["apps"]) or "no programs"
        since = "" if device["reachable"] is not False else ", does not answer"
        terminal.row("device", f"{device['name']} ({device['board']}): {apps}{since}")
    if not found["devices"]:
        terminal.row("device", "none: microclaw device add NAME --wasmachine HOST:PORT")


def link_text(address: str | None) -> str:
    """The device plane in the host's line, as in `link wss :8443`."""
    if address is None:
        return ""
    from urllib.parse import urlsplit

    parts = urlsplit(address)
    place = f":{parts.port}" if parts.hostname in ("127.0.0.1", "::1") else parts.netloc
    return f"   link {parts.scheme} {place}"


def _link_line(link: dict[str, Any] | None) -> str:
    if link is None:
        return "off: no device can connect"
    connected = ", ".join(link["connected"]) or "no device connected"
    waiting = f", {link['pairing']} waiting to be paired" if link["pairing"] else ""
    return f"{link['address']}   {connected}{waiting}"
