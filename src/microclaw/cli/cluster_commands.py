"""`microclaw cluster`: the hosts that share a database, and with it devices and people."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import typer

from microclaw.cli.options import GlobalOptions, command_group, global_options
from microclaw.text import format_duration, host_called

if TYPE_CHECKING:
    from microclaw.api.cluster_routes import ClusterFacts, ClusterHost

cluster_group = command_group()


@cluster_group.callback()
def cluster() -> None:
    """The hosts that share a database, and with it devices and people."""


@cluster_group.command("status")
def status(ctx: typer.Context) -> None:
    """Hosts, devices by host, duties, and what is wrong."""
    options = global_options(ctx)
    found = options.host().cluster()
    if options.wrote_json("cluster", found):
        return
    facts = found["cluster"]
    if facts is None:
        options.line("this host is alone. next: microclaw up --database postgresql://HOST/NAME (docs/cluster.md)")
        return
    _show(options, facts)


def _show(options: GlobalOptions, facts: ClusterFacts) -> None:
    away = "" if facts["connected"] else ", which does not answer"
    options.line(f"database {facts['database']}{away}, seen by {host_called(facts['host'])}")
    options.line()
    names = Counter([one["name"] for one in facts["hosts"]] + [one["name"] for one in facts["ended"]])
    rows: list[tuple[object, ...]] = [
        (
            one["name"] if names[one["name"]] == 1 else one["host"],
            one["version"],
            one["devices"],
            _seen(one, facts),
            f"{round(one['clock_ahead_s']):+d} s",
        )
        for one in facts["hosts"]
    ]
    for gone in facts["ended"]:
        how = "stopped" if gone["in_order"] else "gone"
        ago = format_duration(gone["ended_s"] * 1000)
        called = gone["name"] if names[gone["name"]] == 1 else gone["host"]
        rows.append((called, "-", gone["devices"], f"{how}, {ago} ago", "-"))
    options.table(rows, head=("host", "version", "devices", "seen", "clock"), empty="no host has a lease")
    if facts["duties"]:
        options.line()
        rows = [(one["name"], host_called(one["holder"] or "nobody"), one["fence"]) for one in facts["duties"]]
        options.table(rows, head=("duty", "host" if facts["member"] else "host when last seen", "fence"))
    for problem in facts["problems"]:
        options.line()
        options.line(f"problem: {problem['text']}")
        options.line(f"next: {problem['next']}")


def _seen(one: ClusterHost, facts: ClusterFacts) -> str:
    if one["host"] == facts["host"]:
        return "this host" if facts["member"] else "this host, no lease"
    return f"{one['seen_s']:.0f} s ago" if one["known"] else f"not known for {one['seen_s']:.0f} s"
