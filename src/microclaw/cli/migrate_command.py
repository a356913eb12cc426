"""`microclaw migrate`: one host's store into a shared database, and back."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer

from microclaw.cli.options import global_options
from microclaw.config.load import read_database
from microclaw.text import count_text


def migrate(
    ctx: typer.Context,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="postgresql://…", help="Copy this home's store into that empty database."),
    ] = None,
    back: Annotated[
        bool, typer.Option("--back", help="Write what the shared database has into this home's own store.")
    ] = False,
    database: Annotated[
        str | None, typer.Option("--database", metavar="postgresql://…", help="With --back; else cluster.database.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check it, show the rows, and change nothing.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Also over what is there.")] = False,
) -> None:
    """Copy this home's store into a database that several hosts share, or back. No host may run.

    Memory and persona stay where they are.
    """
    options = global_options(ctx)
    if (to is None) == (not back) or (database is not None and not back):
        raise typer.BadParameter("--to postgresql://…, or --back with or without --database")
    settings = options.settings()
    given = to or database or settings.cluster.database
    if given is None:
        raise typer.BadParameter("--back needs --database, or the setting cluster.database")
    url = read_database(given)
    from microclaw.cluster.migrating import migrate_back, migrate_to  # PostgreSQL's client, with this alone

    how = {"replacing": replace or dry_run, "dry_run": dry_run}
    work = (
        migrate_back(url, settings.home, **how)
        if back
        else migrate_to(url, settings.home, settings.cluster.host_name, **how)
    )
    moved = asyncio.run(work)
    if options.wrote_json("migrate", {**asdict(moved), "dry_run": dry_run}):
        return
    options.table([(name, f"{count:,}") for name, count in moved.rows.items()], head=("TABLE", "ROWS"), empty="no rows")
    rows = count_text(sum(moved.rows.values()), "row")
    options.say(f"{'would move' if dry_run else 'moved'} {rows}: {moved.source} -> {moved.target}")
    options.say("memory and persona are not moved: docs/cluster.md")
    if moved.replaced is not None:
        options.say(f"{'would replace' if dry_run else 'replaced'}: {moved.replaced}")
    if dry_run:
        options.say("nothing was changed")
    elif back:
        options.say(f"start it alone: {options.with_home('microclaw up')}; the database is left as it is")
    else:
        options.say(f"start each host with: {options.with_home('microclaw up --database postgresql://…')}")
        options.say("this home's own store is left as it is, and not used by a host of the database")
