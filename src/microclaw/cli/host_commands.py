"""`microclaw up` and `status`: run the host in the foreground, and ask it how it is."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import msgspec
import typer

from microclaw.api.operations import read_status
from microclaw.cli.operation_commands import show
from microclaw.cli.options import global_options
from microclaw.cli.service_commands import ServiceAct
from microclaw.cli.service_commands import service as manage_service
from microclaw.cli.sign_in_commands import open_page
from microclaw.cluster.operations import status as cluster_status
from microclaw.config.load import read_database, read_link
from microclaw.config.settings import GatewaySettings
from microclaw.models.operations import usage
from microclaw.store.usage import KEPT_DAYS, UsageGroup

OPEN_GATEWAY: Final = "open: every program of this machine is the owner there"


def up(
    ctx: typer.Context,
    virtual: Annotated[int, typer.Option("--virtual", min=0, max=16, help="Start N virtual boards with it.")] = 0,
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65535, help="The API's port, 8080 by default; 0 takes any."),
    ] = None,
    link: Annotated[
        str | None,
        typer.Option("--link", metavar="HOST:PORT|off", help="Where devices connect; 127.0.0.1:8443 by default."),
    ] = None,
    open_gateway: Annotated[
        bool,
        typer.Option("--open-gateway", help="The chat gateway asks programs of this machine for no token."),
    ] = False,
    new_store: Annotated[
        bool,
        typer.Option("--new-store", help="Begin with an empty store where the old one is missing; devices pair again."),
    ] = False,
    database: Annotated[
        str | None,
        typer.Option("--database", metavar="postgresql://…", help="Share that database with other hosts."),
    ] = None,
    service: Annotated[
        ServiceAct | None,
        typer.Option("--service", help="Instead: the host started at each login, by systemd or launchd."),
    ] = None,
    link_plain: Annotated[bool, typer.Option("--link-plain", hidden=True)] = False,
    die_with_parent: Annotated[bool, typer.Option("--die-with-parent", hidden=True)] = False,
    while_used: Annotated[bool, typer.Option("--while-used", hidden=True)] = False,
) -> None:
    """Run the host in the foreground; Ctrl-C stops it."""
    options = global_options(ctx)
    if service is not None:
        manage_service(options, service)
        return
    gc.disable()  # what is made until the host is ready stays: to look through it again and again finds nothing
    settings = options.settings()
    http_port = settings.host.http_port if port is None else port
    link_settings = read_link(link or settings.host.link, http_port=http_port, plain=link_plain)
    gateway = settings.gateway
    if gateway is None and not settings.gateway_off:
        gateway = GatewaySettings() if http_port else GatewaySettings(port=0)
    if open_gateway and gateway is not None:
        gateway = replace(gateway, open=True)
    cluster = settings.cluster
    if database is not None:
        cluster = replace(cluster, database=read_database(database))
    settings = replace(settings, http_port=http_port, link=link_settings, gateway=gateway, cluster=cluster)
    from microclaw.cli.hosting import SIGN_IN, run_host

    def ready(facts: dict[str, Any]) -> None:
        gc.freeze()
        gc.enable()
        sign_in = facts.pop(SIGN_IN)
        if options.wrote_json("up", {"ready": True, **facts}):
            return
        terminal = options.terminal()
        took = "" if facts["ready_s"] is None else f" in {facts['ready_s']:.1f} s"
        terminal.row("host", f"ready{took}            api {facts['http'] or 'off'}{link_text(facts['link'])}")
        if facts["gateway"]:
            how = f"token in {facts['gateway_token']}" if facts["gateway_token"] else "a person's token opens it"
            how = OPEN_GATEWAY if facts["gateway_open"] else how
            terminal.row("gateway", f"{facts['gateway']}   {how}")
        if facts["xiaozhi"]:
            terminal.row("xiaozhi", facts["xiaozhi"])
        if facts["wyoming"]:
            terminal.row("wyoming", facts["wyoming"])
        terminal.row("model", facts["model"])
        for board in facts["boards"]:
            terminal.row("board", f"{board['name']} ({board['title']}, own process {board['pid']})")
        for problem in facts["problems"]:
            terminal.row("off", problem)
        if facts["ca_sha256"]:
            terminal.row("https", f"own authority, SHA-256 {facts['ca_sha256']}; browsers: microclaw person ca FILE")
        if sign_in:
            terminal.row("sign in", "in a browser: once, within 10 minutes; for another link: microclaw status --open")
            terminal.line(sign_in)  # whole, so that it can be copied
        terminal.row("", "Ctrl-C stops it; talk to it from another terminal: microclaw chat")

    try:
        run_host(
            settings,
            virtual_boards=virtual,
            ready=ready,
            verbose=options.verbose,
            die_with_parent=die_with_parent,
            while_used=while_used,
            new_store=new_store,
        )
    finally:
        gc.enable()


def status(
    ctx: typer.Context,
    cluster: Annotated[bool, typer.Option("--cluster", help="The hosts that share a database with this one.")] = False,
    costs: Annotated[bool, typer.Option("--usage", help="What models cost: requests, tokens and money.")] = False,
    by: Annotated[UsageGroup, typer.Option("--by", help="With --usage: what a line stands for.")] = "day",
    days: Annotated[
        int, typer.Option("--days", min=1, max=KEPT_DAYS, help="With --usage: today and the days before.")
    ] = 30,
    link: Annotated[bool, typer.Option("--open", help="Print a link that signs a browser in, once.")] = False,
    person: Annotated[str, typer.Option("--person", help="With --open: who signs in with it.")] = "owner",
) -> None:
    """What the host is doing: model, devices, programs."""
    options = global_options(ctx)
    if link:
        open_page(options, person)
    elif costs:
        show(options, usage, options.host().call(usage, by=by, days=days))
    elif cluster:
        show(options, cluster_status, options.host().call(cluster_status))
    else:
        address, found = options.address(), options.host().call(read_status)
        options.end_with_json("status", msgspec.to_builtins(found))
        terminal = options.terminal()
        if address is not None:
            terminal.row("at", str(address))
        for row in found.rows():
            terminal.row(row.about, row.text)


def link_text(address: str | None) -> str:
    """The link's part of the host's line, as in `link wss :8443`."""
    if address is None:
        return ""
    parts = urlsplit(address)
    place = f":{parts.port}" if parts.hostname in ("127.0.0.1", "::1") else parts.netloc
    return f"   link {parts.scheme} {place}"
