"""`microclaw up` and `status`: run the host in the foreground, and ask it how it is."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any, Final, get_args
from urllib.parse import urlsplit

import click
import msgspec

from microclaw.api.operations import read_status
from microclaw.cli.operation_commands import show
from microclaw.cli.options import GlobalOptions
from microclaw.cli.service_commands import ServiceAct
from microclaw.cli.service_commands import service as manage_service
from microclaw.cli.sign_in_commands import open_page
from microclaw.cluster.operations import status as cluster_status
from microclaw.config.load import read_database, read_link
from microclaw.config.settings import GatewaySettings
from microclaw.models.operations import usage
from microclaw.store.usage import KEPT_DAYS, UsageGroup

OPEN_GATEWAY: Final = "open: every program of this machine is the owner there"


@click.command()
@click.option("--virtual", default=0, type=click.IntRange(0, 16), help="Start N virtual boards with it.")
@click.option("--port", type=click.IntRange(0, 65535), help="The API's port, 8080 by default; 0 takes any.")
@click.option("--link", metavar="HOST:PORT|off", help="Where devices connect; 127.0.0.1:8443 by default.")
@click.option("--open-gateway", is_flag=True, help="The chat gateway asks programs of this machine for no token.")
@click.option(
    "--new-store", is_flag=True, help="Begin with an empty store where the old one is missing; devices pair again."
)
@click.option("--database", metavar="postgresql://…", help="Share that database with other hosts.")
@click.option(
    "--service",
    type=click.Choice(get_args(ServiceAct)),
    help="Instead: the host started at each login, by systemd.",
)
@click.option("--die-with-parent", is_flag=True, hidden=True)
@click.option("--while-used", is_flag=True, hidden=True)
@click.pass_obj
def up(
    options: GlobalOptions,
    virtual: int,
    port: int | None,
    link: str | None,
    open_gateway: bool,
    new_store: bool,
    database: str | None,
    service: ServiceAct | None,
    die_with_parent: bool,
    while_used: bool,
) -> None:
    """Run the host in the foreground; Ctrl-C stops it."""
    if service is not None:
        manage_service(options, service)
        return
    gc.disable()  # what is made until the host is ready stays: to look through it again and again finds nothing
    settings = options.settings()
    http_port = settings.host.http_port if port is None else port
    link_settings = read_link(link or settings.host.link, http_port=http_port)
    gateway = settings.gateway or (GatewaySettings() if http_port else GatewaySettings(port=0))
    if open_gateway:
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
        for voice in ("xiaozhi", "wyoming"):
            if facts[voice]:
                terminal.row(voice, facts[voice])
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


@click.command()
@click.option("--cluster", is_flag=True, help="The hosts that share a database with this one.")
@click.option("--usage", "costs", is_flag=True, help="What models cost: requests, tokens and money.")
@click.option(
    "--by", default="day", type=click.Choice(get_args(UsageGroup)), help="With --usage: what a line stands for."
)
@click.option("--days", default=30, type=click.IntRange(1, KEPT_DAYS), help="With --usage: today and the days before.")
@click.option("--open", "link", is_flag=True, help="Print a link that signs a browser in, once.")
@click.option("--person", default="owner", help="With --open: who signs in with it.")
@click.pass_obj
def status(
    options: GlobalOptions, cluster: bool, costs: bool, by: UsageGroup, days: int, link: bool, person: str
) -> None:
    """Show the host's state: model, devices, programs."""
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
