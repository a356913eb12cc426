"""The daily budget of models, and which day it is for the person. Asks no model; has no prices of its own.

What is spent is looked at before a request, so requests that already run may pass the budget.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Final

from microclaw.clock import find_zone
from microclaw.config.settings import BudgetSettings
from microclaw.errors import BudgetSpent, ConfigError
from microclaw.models.protocol import AskedBy, ModelRequest, ToolReturn, UserText
from microclaw.store.usage import UsageTable

CHARS_A_TOKEN: Final = 4  # of English and JSON, about
IMAGE_TOKENS: Final = 1500  # about what providers count for a photo


def estimated_tokens(request: ModelRequest, answer_chars: int) -> tuple[int, int]:
    """The tokens of a request and of its answer, estimated from their length."""
    chars = sum(len(text) for text in _texts(request))
    return -(-chars // CHARS_A_TOKEN) + _images(request) * IMAGE_TOKENS, -(-answer_chars // CHARS_A_TOKEN)


def price(model: str, sent: int, answered: int) -> int | None:
    """The list price in billionths of a dollar, without cached tokens; None for an unknown model.

    The first call loads the price list, which takes a fifth of a second.
    """
    try:
        from genai_prices import Usage, calc_price
    except ImportError:  # it comes with the providers' libraries
        return None
    plain = Usage(input_tokens=sent, output_tokens=answered)
    cached = Usage(input_tokens=sent, cache_write_tokens=sent, output_tokens=answered)  # writing a cache costs more
    try:
        return round(max(calc_price(usage, model).total_price for usage in (plain, cached)) * 10**9)
    except (LookupError, ValueError):
        return None


def _texts(request: ModelRequest) -> list[str]:
    texts = [request.system, request.dynamic_context]
    for tool in request.tools:
        texts += [tool.name, tool.schema, tool.description]
    for message in request.messages:
        if isinstance(message, ToolReturn):
            texts.append(message.content)
            continue
        texts.append(message.text)
        if not isinstance(message, UserText):
            texts += [part for call in message.calls for part in (call.name, call.arguments)]
    return texts


def _images(request: ModelRequest) -> int:
    return sum(len(message.images) for message in request.messages if isinstance(message, UserText))


class LocalDays:
    """Days in the person's time zone, with summer time. `timezone` None is the machine's zone."""

    def __init__(self, now_s: Callable[[], float], timezone: str | None = None) -> None:
        self._now_s = now_s
        self._zone = None if timezone is None else find_zone(timezone)
        if timezone is not None and self._zone is None:
            raise ConfigError(
                f"there is no time zone {timezone!r}", next_step="name one as in Europe/Vienna in agent.timezone"
            )

    def today(self) -> datetime.date:
        return datetime.datetime.fromtimestamp(self._now_s(), self._zone).date()

    def ago(self, days: int) -> datetime.date:
        """The first of the last `days` days; today is the last of them."""
        return self.today() - datetime.timedelta(days=days - 1)

    def next_midnight(self) -> datetime.datetime:
        tomorrow = datetime.datetime.combine(self.today() + datetime.timedelta(days=1), datetime.time())
        return tomorrow.replace(tzinfo=self._zone) if self._zone is not None else tomorrow.astimezone()


class Budget:
    """The budget that each request to a model is checked against."""

    def __init__(self, limits: BudgetSettings, table: UsageTable, days: LocalDays) -> None:
        self.limits = limits
        self._table = table
        self._days = days

    @property
    def in_dollars(self) -> bool:
        """Whether a limit is in dollars, so that an estimate needs a price."""
        return self.limits.day_usd is not None or self.limits.person_day_usd is not None

    async def check(self, asked_by: AskedBy) -> None:
        """Raise BudgetSpent when the day's budget, or this person's part of it, is used up."""
        limits = self.limits
        if limits == BudgetSettings():
            return
        everyone, theirs = await self._table.of_day(self._days.today().isoformat(), asked_by.person)
        for setting, who, usd, tokens, spent in (
            ("day_usd", "this host", limits.day_usd, None, everyone),
            ("day_tokens", "this host", None, limits.day_tokens, everyone),
            ("person_day_usd", asked_by.person, limits.person_day_usd, None, theirs),
            ("person_day_tokens", asked_by.person, None, limits.person_day_tokens, theirs),
        ):
            if usd is not None and spent.cost_usd >= usd:
                raise self._spent(setting, who, f"${spent.cost_usd:.2f} of ${usd:.2f}", spent.requests)
            if tokens is not None and spent.tokens >= tokens:
                raise self._spent(setting, who, f"{spent.tokens:,} of {tokens:,} tokens", spent.requests)

    def _spent(self, setting: str, who: str, what: str, requests: int) -> BudgetSpent:
        reset = self._days.next_midnight()
        return BudgetSpent(
            f"today's budget of {who} for models is used up: {what}, in {requests} requests; "
            f"it begins anew at {reset:%H:%M} on {reset:%A} ({reset.tzname()})",
            next_step=f"wait until then, or raise {setting} under [budget] in config.toml and start the host "
            "again; sentences that need no model still work",
        )
