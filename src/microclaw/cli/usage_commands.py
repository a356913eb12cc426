"""`microclaw usage`: what models cost, as a table. It counts nothing itself."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from microclaw.cli.invocation import Invocation, invocation


def register(app: typer.Typer) -> None:
    app.command("usage")(usage)


def usage(
    ctx: typer.Context,
    by: Annotated[
        Literal["day", "person", "chat", "model", "task"], typer.Option("--by", help="What a line stands for.")
    ] = "day",
    days: Annotated[int, typer.Option("--days", metavar="N", min=1, max=400, help="Today and the days before.")] = 30,
) -> None:
    """What models cost: requests, tokens and money."""
    options = invocation(ctx)
    found = options.host().get("/v1/usage", {"by": by, "days": days})
    if options.json:
        options.document("usage", found)
        return
    if not found["groups"]:
        options.say(f"no model was asked since {found['since']}; sentences that need none cost nothing")
    else:
        rows = [_row(group[by], group) for group in found["groups"]]
        if len(rows) > 1:
            rows.append(_row("all", found["total"]))
        options.table(rows, head=(by.upper(), "REQUESTS", "INPUT", "CACHED", "OUTPUT", "COST"))
    _notes(options, found)


def _row(name: str, count: dict[str, Any]) -> tuple[str, ...]:
    failed = f" ({count['failed']} failed)" if count["failed"] else ""
    unknown = " + ?" if count["unpriced"] else ""
    return (
        name,
        f"{count['requests']:,}{failed}",
        f"{count['input_tokens']:,}",
        f"{count['cached_tokens']:,}",
        f"{count['output_tokens']:,}",
        f"${count['cost_usd']:.4f}{unknown}",
    )


def _notes(options: Invocation, found: dict[str, Any]) -> None:
    """What the numbers leave out, and how much of today's budget is left."""
    total, today, budget = found["total"], found["today"], found["budget"]
    if total["unpriced"]:
        options.say(f"?: {total['unpriced']:,} requests to models whose price is not known (local ones, for example)")
    if total["estimated"]:
        options.say(f"{total['estimated']:,} requests told no tokens; theirs are estimated")
    if budget["day_usd"] is not None:
        options.say(f"today: ${today['cost_usd']:.2f} of ${budget['day_usd']:.2f}, anew at {budget['resets_at']}")
    if budget["day_tokens"] is not None:
        tokens = today["input_tokens"] + today["output_tokens"]
        options.say(f"today: {tokens:,} of {budget['day_tokens']:,} tokens, anew at {budget['resets_at']}")
