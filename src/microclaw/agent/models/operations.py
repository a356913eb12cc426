"""The act of what models cost: requests, tokens and money of the last days."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec import Meta, Struct

from microclaw.host.operations.forms import NO_COMMAND
from microclaw.host.operations.operation import Access, OperationCall, operation
from microclaw.host.operations.result import Listing, filled
from microclaw.host.store.people import person_behind
from microclaw.host.store.usage import KEPT_DAYS, UsageCount, UsageGroup

if TYPE_CHECKING:
    from microclaw.agent.models.usage import UsageLog
    from microclaw.host.store.people import Person


class UsageService(Struct, frozen=True):
    """The parts that the act works with. `person` is who has this id."""

    log: UsageLog
    person: Callable[[str], Person | None]


class UsageRow(Struct, frozen=True, kw_only=True):
    """`estimated` requests reported no tokens; the price of `unpriced` ones is not known."""

    name: Annotated[str, Meta(description="A day, person, chat, model or task, as `by` says")]
    requests: int
    failed: int
    estimated: int
    unpriced: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost_usd: float


class BudgetFacts(Struct, frozen=True, kw_only=True):
    """Of the caller's day; null: no limit."""

    day_usd: float | None
    day_tokens: int | None
    resets_at: str


class UsageListing(Listing, frozen=True, kw_only=True):
    document: ClassVar = "usage"
    columns: ClassVar = {
        "NAME": "name",
        "REQUESTS": "requests",
        "INPUT": "input_tokens",
        "CACHED": "cached_tokens",
        "OUTPUT": "output_tokens",
        "USD": "cost_usd",
    }
    empty: ClassVar = "no model was asked; sentences that need none cost nothing"

    by: UsageGroup
    days: int
    since: str
    groups: list[UsageRow]
    total: UsageRow
    today: UsageRow
    budget: BudgetFacts

    @property
    def rows(self) -> Sequence[UsageRow]:
        if len(self.groups) > 1:
            return [*self.groups, self.total]
        return self.groups

    @property
    def note(self) -> str:
        """A line for what the numbers leave out, and how much of today's budget is left."""
        total = self.total
        today = self.today
        budget = self.budget
        tokens = today.input_tokens + today.output_tokens
        lines = {
            f"{total.failed:,} requests failed": total.failed,
            f"{total.unpriced:,} requests to models whose price is not known": total.unpriced,
            f"{total.estimated:,} requests without a token count (estimated)": total.estimated,
            f"today: ${today.cost_usd:.2f} of ${budget.day_usd or 0:.2f}, again at {budget.resets_at}": budget.day_usd,
            f"today: {tokens:,} of {budget.day_tokens or 0:,} tokens, again at {budget.resets_at}": budget.day_tokens,
        }
        return "\n".join(line for line, counts in lines.items() if counts)


@operation("usage", http="GET /v1/usage", access=Access.LOOK, words="see what models cost", command=NO_COMMAND)
async def usage(
    service: UsageService,
    call: OperationCall,
    by: Annotated[UsageGroup, Meta(description="What a line stands for.")] = "day",
    days: Annotated[int, Meta(ge=1, le=KEPT_DAYS, description="Today and the days before.")] = 30,
) -> UsageListing:
    """Show the cost of models: requests, tokens and money."""
    who = service.person(call.person_id)
    everybody = who is not None and who.role == "owner"
    report = await service.log.report(by, days, person=None if everybody else person_behind(call.person_id))

    def named(name: str) -> str:
        if by == "person":
            person = service.person(name)
        else:
            person = None
        return name if person is None else person.name

    limits = service.log.limits
    if everybody:
        day = (limits.day_usd, limits.day_tokens)
    else:
        day = (limits.person_day_usd, limits.person_day_tokens)
    return UsageListing(
        by=by,
        days=days,
        since=report.since.isoformat(),
        groups=[_row(named(name), count) for name, count in report.groups],
        total=_row("all", sum((count for _, count in report.groups), start=UsageCount())),
        today=_row("today", report.today),
        budget=BudgetFacts(day_usd=day[0], day_tokens=day[1], resets_at=report.resets_at.isoformat()),
    )


def _row(name: str, count: UsageCount) -> UsageRow:
    return filled(UsageRow, count, name=name, cost_usd=round(count.cost_usd, 6))
