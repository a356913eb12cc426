"""/v1/usage: what models cost, by person, chat, day, model or task. Everybody's for the owner, else one's own."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from microclaw.config import BudgetSettings
from microclaw.errors import ConfigError
from microclaw.models.ledger import Ledger, UsageReport
from microclaw.store.usage import KEPT_DAYS, UsageCount, UsageGroup
from microclaw.web.caller import By
from microclaw.web.parts import HostParts


def usage_router(parts: HostParts) -> APIRouter:
    router = APIRouter(prefix="/v1/usage", tags=["usage"])

    def ledger() -> Ledger:
        if parts.usage is None:
            raise ConfigError("this host counts no requests to models", next_step="start it anew: microclaw up")
        return parts.usage

    def named(person_id: str) -> str:
        person = parts.people.get(person_id)
        return person_id if person is None else person.name

    @router.get("", summary="Requests, tokens and money of the last days")
    async def usage(
        by: By,
        group: Annotated[UsageGroup, Query(alias="by")] = "day",
        days: Annotated[int, Query(ge=1, le=KEPT_DAYS)] = 30,
    ) -> dict[str, Any]:
        person = parts.people.get(by.principal)
        everybody = person is not None and person.role == "owner"
        report = await ledger().report(group, days, person=None if everybody else by.principal)
        return {
            "by": group,
            "days": days,
            "since": report.since.isoformat(),
            "groups": [
                {group: named(name) if group == "person" else name, **_counts(count)} for name, count in report.groups
            ],
            "total": _counts(sum((count for _, count in report.groups), start=UsageCount())),
            "today": _counts(report.today),
            "budget": _budget(parts.settings.budget, report, everybody=everybody),
        }

    return router


def _counts(count: UsageCount) -> dict[str, int | float]:
    return {
        "requests": count.requests,
        "failed": count.failed,
        "estimated": count.estimated,
        "unpriced": count.unpriced,
        "input_tokens": count.input_tokens,
        "output_tokens": count.output_tokens,
        "cached_tokens": count.cached_tokens,
        "cost_usd": round(count.cost_usd, 6),
    }


def _budget(limits: BudgetSettings, report: UsageReport, *, everybody: bool) -> dict[str, Any]:
    """The limits of today that `today` counts against, and when it ends."""
    return {
        "day_usd": limits.day_usd if everybody else limits.person_day_usd,
        "day_tokens": limits.day_tokens if everybody else limits.person_day_tokens,
        "person_day_usd": limits.person_day_usd,
        "person_day_tokens": limits.person_day_tokens,
        "resets_at": report.resets_at.isoformat(),
    }
