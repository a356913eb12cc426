"""`microclaw cluster`: the hosts that share devices and people over NATS."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from microclaw.cli.options import GlobalOptions, command_group, global_options
from microclaw.config.load import read_nats
from microclaw.errors import NoHost
from microclaw.text import format_duration, host_called

if TYPE_CHECKING:
    from microclaw.api.cluster_routes import ClusterFacts, ClusterHost

cluster_group = command_group()


@cluster_group.callback()
def cluster() -> None:
    """The hosts that share devices and people over NATS."""


@cluster_group.command("status")
def status(ctx: typer.Context) -> None:
    """Hosts, devices by host, streams, duties, and what is wrong."""
    options = global_options(ctx)
    try:
        found = options.host().cluster()
    except NoHost:
        from microclaw.store.replica import placed  # with this alone

        if options.address() is None and (there := placed(options.settings().cluster_copy)) is not None:
            options.say(f"no host runs here; its copy of the cluster's store is at entry {there.seq:,}")
        raise
    if options.wrote_json("cluster", found):
        return
    facts = found["cluster"]
    if facts is None:
        options.line("this host is alone. next: microclaw up --nats nats://HOST:4222 (docs/cluster.md)")
        return
    _show(options, facts)


@cluster_group.command("snapshot")
def snapshot(
    ctx: typer.Context,
    nats: Annotated[
        str | None, typer.Option("--nats", metavar="nats://HOST:PORT", help="Its servers; else cluster.nats.")
    ] = None,
) -> None:
    """Put this host's copy of the store into NATS, for new hosts to start from; the log is cut behind it."""
    options = global_options(ctx)
    if options.remote_endpoint() is not None:
        raise typer.BadParameter("it takes the copy of a host on this machine: run it there")
    from microclaw.cluster.migrating import put_snapshot, settings_for  # NATS' client, with this alone

    settings = options.settings()
    given, name = None if nats is None else read_nats(nats), None
    if given is None and (running := _running(options)) is not None:
        given, name = running["nats"], running["name"]
    chosen = settings_for(settings.cluster, nats=given, name=name)
    meta = asyncio.run(put_snapshot(chosen, settings.cluster_copy))
    options.report(
        "cluster_snapshot",
        {"name": meta.snapshot, "entry": meta.seq},
        f"the snapshot {meta.snapshot} has the store up to entry {meta.seq}",
    )


def _running(options: GlobalOptions) -> ClusterFacts | None:
    """What this machine's host says of its cluster: it may have got it on its command line. None where none runs."""
    try:
        return options.host().cluster()["cluster"]
    except NoHost:
        return None


def _show(options: GlobalOptions, facts: ClusterFacts) -> None:
    at = facts["server"] if facts["connected"] else f"not connected; known: {', '.join(facts['servers'])}"
    options.line(f"cluster {facts['name']}, seen by {host_called(facts['host'])}; NATS {at}")
    behind = f", {facts['behind']:,} behind the last" if facts["behind"] else ""
    options.line(f"log: this host's copy is at entry {facts['position']}{behind}; {_newest(facts)}")
    options.line()
    names = Counter([one["name"] for one in facts["hosts"]] + [one["name"] for one in facts["ended"]])
    rows: list[tuple[object, ...]] = [
        (
            one["name"] if names[one["name"]] == 1 else one["host"],
            one["version"],
            one["devices"],
            one["position"],
            one["behind"],
            _seen(one, facts),
            f"{round(one['clock_ahead_s']):+d} s",
        )
        for one in facts["hosts"]
    ]
    for gone in facts["ended"]:
        how = "stopped" if gone["in_order"] else "gone"
        ago = format_duration(gone["ended_s"] * 1000)
        called = gone["name"] if names[gone["name"]] == 1 else gone["host"]
        rows.append((called, "-", gone["devices"], "-", "-", f"{how}, {ago} ago", "-"))
    options.table(
        rows,
        head=("host", "version", "devices", "entry", "behind", "seen", "clock"),
        empty="no host has a lease",
    )
    if facts["streams"]:
        options.line()
        options.table(
            [
                (one["name"], one["messages"], f"{one['bytes'] / 1e6:.1f} MB", one["replicas"], one["leader"] or "-")
                for one in facts["streams"]
            ],
            head=("stream", "messages", "size", "copies", "leader"),
        )
    if facts["duties"]:
        options.line()
        rows = [(one["name"], host_called(one["holder"] or "nobody"), one["fence"]) for one in facts["duties"]]
        options.table(rows, head=("duty", "host" if facts["member"] else "host when last seen", "fence"))
    for problem in facts["problems"]:
        options.line()
        options.line(f"problem: {problem['text']}")
        options.line(f"next: {problem['next']}")


def _newest(facts: ClusterFacts) -> str:
    snapshot = facts["snapshot"]
    if snapshot is None:
        return "no snapshot can be seen"
    ago = format_duration(max(0, time.time() * 1000 - snapshot["at_ms"]))
    return f"snapshot at {snapshot['seq']}, {ago} ago"


def _seen(one: ClusterHost, facts: ClusterFacts) -> str:
    if one["host"] == facts["host"]:
        return "this host" if facts["member"] else "this host, no lease"
    return f"{one['seen_s']:.0f} s ago" if one["known"] else f"not known for {one['seen_s']:.0f} s"
