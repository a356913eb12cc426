"""`microclaw migrate`: one host's store into a new cluster, and a cluster's newest content back."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from microclaw.cli.options import GlobalOptions, global_options
from microclaw.config.load import read_nats
from microclaw.text import count_text

if TYPE_CHECKING:
    from microclaw.cluster.migrating import Migration


def migrate(
    ctx: typer.Context,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="nats://HOST:PORT", help="Make a cluster there of this home's store."),
    ] = None,
    back: Annotated[
        bool, typer.Option("--back", help="Write what the cluster has now into this home's own store.")
    ] = False,
    nats: Annotated[
        str | None, typer.Option("--nats", metavar="nats://HOST:PORT", help="With --back; else cluster.nats.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="The cluster's; else cluster.name.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check it, show the rows, and change nothing.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Also over what is there.")] = False,
) -> None:
    """Move this home's store into a new cluster, or back. The host must not run.

    Conversations, memory and persona stay where they are.
    """
    options = global_options(ctx)
    if (to is None) == (not back) or (nats is not None and not back):
        raise typer.BadParameter("--to nats://HOST:PORT, or --back with or without --nats")
    if name is not None and (wrong := _wrong_name(name)) is not None:
        raise typer.BadParameter(f"--name {wrong}")
    from microclaw.cluster.migrating import migrate_back, migrate_to, settings_for  # NATS' client, with this alone

    settings = options.settings()
    address = to if to is not None else nats
    chosen = settings_for(settings.cluster, nats=None if address is None else read_nats(address), name=name)
    work = migrate_back if back else migrate_to
    moved = asyncio.run(work(chosen, settings.home, replacing=replace or dry_run, dry_run=dry_run))
    if options.wrote_json("migrate", {**asdict(moved), "dry_run": dry_run}):
        return
    _say(options, moved, dry_run=dry_run)
    if dry_run:
        options.say("nothing was changed")
    elif back:
        options.say(f"start it alone: {options.with_home('microclaw up')}; the cluster is left as it is")
    else:
        options.say(f"start each host with: {options.with_home(f'microclaw up --nats {to}')}{_named(chosen.name)}")
        if moved.replaced is not None:
            options.say("the other hosts fetch the store anew then, and keep their copies as cluster.db.replaced")
        options.say("this home's own store is left as it is, and not used by a host of the cluster")


def _say(options: GlobalOptions, moved: Migration, *, dry_run: bool) -> None:
    options.table([(name, f"{count:,}") for name, count in moved.rows.items()], head=("TABLE", "ROWS"), empty="no rows")
    rows = count_text(sum(moved.rows.values()), "row")
    options.say(f"{'would move' if dry_run else 'moved'} {rows}: {moved.source} -> {moved.target}")
    options.say("conversations, memory and persona are not moved: docs/cluster.md")
    if moved.replaced is not None:
        options.say(f"{'would replace' if dry_run else 'replaced'}: {moved.replaced}")


def _named(name: str) -> str:
    return "" if name == "microclaw" else f" (cluster.name {name})"


def _wrong_name(name: str) -> str | None:
    from microclaw.config.forms import ClusterName, form_of

    form = form_of(ClusterName)
    return None if form.has(name) else f"is not {form.words}"
