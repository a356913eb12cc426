"""What models may cost a day, and which day it is for the person. Asks no model; knows no price.

A request holds the most that it may use until it is counted, in memory alone: a host that ends leaves nothing
behind. So requests that are under way together go over a budget by what one of them uses, at most.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from microclaw.clock import find_zone
from microclaw.config import BudgetSettings
from microclaw.errors import BudgetSpent, ConfigError
from microclaw.models.protocol import AskedBy, ModelRequest, ToolReturn, UserText
from microclaw.store.usage import UsageCount, UsageTable

CHARS_A_TOKEN: Final = 4  # of English and JSON, about
IMAGE_TOKENS: Final = 1500  # about what providers count for a photo
_WORST_BYTES_A_TOKEN: Final = 2  # of random letters and digits, the densest text that people send
_WORST_IMAGE_TOKENS: Final = 5000
_WORST_EXTRA_TOKENS: Final = 1000  # what a provider puts around tools
_WORST_MESSAGE_TOKENS: Final = 32  # ... and around each message and tool


@dataclass(frozen=True, slots=True)
class Estimate:
    """`nano_usd` None: nobody knows what it will cost."""

    tokens: int
    nano_usd: int | None


def likely_tokens(request: ModelRequest, answer_chars: int) -> tuple[int, int]:
    """Of what was sent and of what came back, by their length."""
    chars = sum(len(text) for text in _texts(request))
    return -(-chars // CHARS_A_TOKEN) + _images(request) * IMAGE_TOKENS, -(-answer_chars // CHARS_A_TOKEN)


def worst_case(request: ModelRequest, model: str, *, priced: bool = True) -> Estimate:
    """More than the request will use. `priced` False: it costs nothing that anybody counts."""
    size = sum(len(text.encode(errors="replace")) for text in _texts(request))
    sent = -(-size // _WORST_BYTES_A_TOKEN) + _images(request) * _WORST_IMAGE_TOKENS
    sent += _WORST_EXTRA_TOKENS + _WORST_MESSAGE_TOKENS * (len(request.messages) + len(request.tools))
    return Estimate(sent + request.max_tokens, price(model, sent, request.max_tokens) if priced else 0)


def price(model: str, sent: int, answered: int) -> int | None:
    """Billionths of a dollar by the price list, nothing cached yet; None for a model that it does not know.

    The first call loads the list, a fifth of a second.
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
    texts = [request.system, request.situation]
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


PATIENCE_S: Final = 60.0  # half of a turn's time, and more than most answers take


class LocalDays:
    """Days as the person's calendar has them, summer time included. `timezone` None is the machine's."""

    def __init__(self, now_s: Callable[[], float], timezone: str | None = None) -> None:
        self._now_s = now_s
        self._zone = None if timezone is None else find_zone(timezone)
        if timezone is not None and self._zone is None:
            raise ConfigError(
                f"there is no time zone {timezone!r}", next_step="name one as in Europe/Vienna in agent.timezone"
            )

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


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """What a request under way may use."""

    person: str
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class _Limit:
    """One setting: what counts for it, and whose it is."""

    setting: str
    who: str
    usd: float | None
    tokens: int | None
    spent: UsageCount
    held: tuple[_Held, ...]

    @property
    def used_up(self) -> str | None:
        """What was spent, where that is all."""
        if self.usd is not None and self.spent.cost_usd >= self.usd:
            return f"${self.spent.cost_usd:.2f} of ${self.usd:.2f}"
        if self.tokens is not None and self.spent.tokens >= self.tokens:
            return f"{self.spent.tokens:,} of {self.tokens:,} tokens"
        return None

    @property
    def held_up(self) -> bool:
        """Whether the requests under way may use all that is left."""
        if not self.held or (self.usd is None and self.tokens is None):
            return False
        if self.tokens is not None:
            return self.spent.tokens + sum(held.estimate.tokens for held in self.held) >= self.tokens
        assert self.usd is not None
        prices = [held.estimate.nano_usd for held in self.held]
        known = sum(price for price in prices if price is not None)
        return None in prices or (self.spent.cost_nano_usd + known) / 1e9 >= self.usd


class Budget:
    """Asked before each request to a model; a request is inside `holding` until it is counted."""

    def __init__(
        self, limits: BudgetSettings, table: UsageTable, days: LocalDays, *, patience_s: float = PATIENCE_S
    ) -> None:
        self.limits = limits
        self._table = table
        self._days = days
        self._patience_s = patience_s
        self._held: set[_Held] = set()
        self._freed = asyncio.Event()  # replaced each time: whoever waits for it hears of one request's end

    @property
    def limited(self) -> bool:
        return self.limits != BudgetSettings()

    @property
    def in_dollars(self) -> bool:
        """Whether an estimate's price matters."""
        return self.limits.day_usd is not None or self.limits.person_day_usd is not None

    @asynccontextmanager
    async def holding(self, asked_by: AskedBy, estimate: Estimate) -> AsyncIterator[None]:
        """Inside, `estimate` is kept free of the budget; count the request before leaving.

        BudgetSpent when the day's budget, or this person's part of it, is used up. Where only the requests under way
        may use up the rest, it waits for them, for as long as its patience lasts.
        """
        held = _Held(asked_by.person, estimate)
        await self._hold(held)
        try:
            yield
        finally:
            self._held.discard(held)
            self._freed.set()
            self._freed = asyncio.Event()

    async def _hold(self, held: _Held) -> None:
        """Add to what is held once there is room for it."""
        patient_until = asyncio.get_running_loop().time() + self._patience_s
        while True:
            freed = self._freed
            limits = await self._read(held.person)
            if freed.is_set():  # that request may be missing in what is spent and in what is held
                continue
            for limit in limits:
                if (what := limit.used_up) is not None:
                    raise self._spent(what, limit)
            busy = next((limit for limit in limits if limit.held_up), None)
            if busy is None:
                self._held.add(held)
                return
            try:
                async with asyncio.timeout_at(patient_until):
                    await freed.wait()
            except TimeoutError as exc:
                raise self._held_by_others(busy) from exc

    async def _read(self, person: str) -> tuple[_Limit, ...]:
        """Each limit with what counts for it now."""
        limits = self.limits
        everyone, theirs = await self._table.of_day(self._days.today().isoformat(), person)
        all_held = tuple(self._held)
        their_held = tuple(held for held in all_held if held.person == person)
        return (
            _Limit("day_usd", "this host", limits.day_usd, None, everyone, all_held),
            _Limit("day_tokens", "this host", None, limits.day_tokens, everyone, all_held),
            _Limit("person_day_usd", person, limits.person_day_usd, None, theirs, their_held),
            _Limit("person_day_tokens", person, None, limits.person_day_tokens, theirs, their_held),
        )

    def _spent(self, what: str, limit: _Limit) -> BudgetSpent:
        reset = self._days.next_midnight()
        return BudgetSpent(
            f"today's budget of {limit.who} for models is used up: {what}, in {limit.spent.requests} requests; "
            f"it begins anew at {reset:%H:%M} on {reset:%A} ({reset.tzname()})",
            next_step=f"wait until then, or raise {limit.setting} under [budget] in config.toml and start the host "
            "again; sentences that need no model still work",
        )

    def _held_by_others(self, limit: _Limit) -> BudgetSpent:
        return BudgetSpent(
            f"what is left of today's budget of {limit.who} for models is held for {len(limit.held)} requests under "
            f"way, and after {self._patience_s:g} s it still is",
            next_step=f"say it again in a minute, or raise {limit.setting} under [budget] in config.toml and start the "
            "host again; sentences that need no model still work",
        )
