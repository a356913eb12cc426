"""What models may cost a day, and which day it is for the person. Asks no model; knows no price."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from microclaw.config import BudgetSettings
from microclaw.errors import BudgetSpent, ConfigError
from microclaw.store.usage import UsageCount, UsageTable


@dataclass(frozen=True, slots=True)
class AskedBy:
    """For whom a model works: set by a turn before its first request."""

    person: str = "owner"
    channel: str = "unknown"
    chat_id: str = ""


_NOBODY_SAID = AskedBy()
ASKED_BY: ContextVar[AskedBy] = ContextVar("microclaw_asked_by", default=_NOBODY_SAID)


class LocalDays:
    """Days as the person's calendar has them, summer time included. `timezone` None is the machine's."""

    def __init__(self, now_s: Callable[[], float], timezone: str | None = None) -> None:
        self._now_s = now_s
        try:
            self._zone = None if timezone is None else ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
            raise ConfigError(
                f"there is no time zone {timezone!r}", next_step="name one as in Europe/Vienna in agent.timezone"
            ) from exc

    def today(self) -> datetime.date:
        return self._now().date()

    def ago(self, days: int) -> datetime.date:
        """The first of the last `days` days, today being the last of them."""
        return self.today() - datetime.timedelta(days=days - 1)

    def next_midnight(self) -> datetime.datetime:
        tomorrow = datetime.datetime.combine(self.today() + datetime.timedelta(days=1), datetime.time())
        return tomorrow.replace(tzinfo=self._zone) if self._zone is not None else tomorrow.astimezone()

    def _now(self) -> datetime.datetime:
        if self._zone is not None:
            return datetime.datetime.fromtimestamp(self._now_s(), self._zone)
        return datetime.datetime.fromtimestamp(self._now_s()).astimezone()


class Budget:
    """Checked before each request to a model. What is under way is not counted: it may go over by that."""

    def __init__(self, limits: BudgetSettings, table: UsageTable, days: LocalDays) -> None:
        self.limits = limits
        self._table = table
        self._days = days

    async def check(self, asked_by: AskedBy) -> None:
        """BudgetSpent when the day's budget, or this person's part of it, is used up."""
        limits = self.limits
        if limits == BudgetSettings():
            return
        everyone, person = await self._table.of_day(self._days.today().isoformat(), asked_by.person)
        for spent, usd, tokens, who, prefix in (
            (everyone, limits.day_usd, limits.day_tokens, "this host", "day"),
            (person, limits.person_day_usd, limits.person_day_tokens, asked_by.person, "person_day"),
        ):
            if usd is not None and spent.cost_usd >= usd:
                raise self._spent(f"${spent.cost_usd:.2f} of ${usd:.2f}", who, f"{prefix}_usd", spent)
            if tokens is not None and spent.tokens >= tokens:
                raise self._spent(f"{spent.tokens:,} of {tokens:,} tokens", who, f"{prefix}_tokens", spent)

    def _spent(self, what: str, who: str, setting: str, spent: UsageCount) -> BudgetSpent:
        reset = self._days.next_midnight()
        return BudgetSpent(
            f"today's budget of {who} for models is used up: {what}, in {spent.requests} requests; "
            f"it begins anew at {reset:%H:%M} on {reset:%A} ({reset.tzname()})",
            next_step=f"wait until then, or raise {setting} under [budget] in config.toml and start the host again; "
            "sentences that need no model still work",
        )
