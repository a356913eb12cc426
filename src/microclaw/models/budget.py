"""The daily budget of models, and which day it is for the person. Asks no model; has no prices of its own.

Each running request reserves the most that it may use until it is counted. So requests that run together go over a
budget by one request at most. Reservations are in memory only.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from microclaw.clock import find_zone
from microclaw.config.settings import BudgetSettings
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
    """`nano_usd` None: the price is not known."""

    tokens: int
    nano_usd: int | None


def estimated_tokens(request: ModelRequest, answer_chars: int) -> tuple[int, int]:
    """The tokens of a request and of its answer, estimated from their length."""
    chars = sum(len(text) for text in _texts(request))
    return -(-chars // CHARS_A_TOKEN) + _images(request) * IMAGE_TOKENS, -(-answer_chars // CHARS_A_TOKEN)


def worst_case(request: ModelRequest, model: str, *, priced: bool = True) -> Estimate:
    """More than the request will use. `priced` False: its price is not counted."""
    size = sum(len(text.encode(errors="replace")) for text in _texts(request))
    sent = -(-size // _WORST_BYTES_A_TOKEN) + _images(request) * _WORST_IMAGE_TOKENS
    sent += _WORST_EXTRA_TOKENS + _WORST_MESSAGE_TOKENS * (len(request.messages) + len(request.tools))
    return Estimate(sent + request.max_tokens, price(model, sent, request.max_tokens) if priced else 0)


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


PATIENCE_S: Final = 60.0  # half of a turn's time, and more than most answers take


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


@dataclass(frozen=True, slots=True, eq=False)
class _Reservation:
    """What a running request may use."""

    person: str
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class _Limit:
    """One setting of the budget, whose it is, and what was spent and reserved."""

    setting: str
    who: str
    usd: float | None
    tokens: int | None
    spent: UsageCount
    reserved: tuple[_Reservation, ...]

    @property
    def used_up(self) -> str | None:
        """What was spent, in words, when nothing is left; else None."""
        if self.usd is not None and self.spent.cost_usd >= self.usd:
            return f"${self.spent.cost_usd:.2f} of ${self.usd:.2f}"
        if self.tokens is not None and self.spent.tokens >= self.tokens:
            return f"{self.spent.tokens:,} of {self.tokens:,} tokens"
        return None

    @property
    def may_run_out(self) -> bool:
        """Whether the running requests may use all that is left."""
        if not self.reserved or (self.usd is None and self.tokens is None):
            return False
        if self.tokens is not None:
            return self.spent.tokens + sum(one.estimate.tokens for one in self.reserved) >= self.tokens
        assert self.usd is not None
        prices = [one.estimate.nano_usd for one in self.reserved]
        known = sum(price for price in prices if price is not None)
        return None in prices or (self.spent.cost_nano_usd + known) / 1e9 >= self.usd


class Budget:
    """The budget that each request to a model is checked against; a request runs inside `holding`."""

    def __init__(
        self, limits: BudgetSettings, table: UsageTable, days: LocalDays, *, patience_s: float = PATIENCE_S
    ) -> None:
        self.limits = limits
        self._table = table
        self._days = days
        self._patience_s = patience_s
        self._reserved: set[_Reservation] = set()
        self._freed = asyncio.Event()  # set at the end of a request, then replaced by a new one

    @property
    def limited(self) -> bool:
        return self.limits != BudgetSettings()

    @property
    def in_dollars(self) -> bool:
        """Whether a limit is in dollars, so that an estimate needs a price."""
        return self.limits.day_usd is not None or self.limits.person_day_usd is not None

    @asynccontextmanager
    async def holding(self, asked_by: AskedBy, estimate: Estimate) -> AsyncIterator[None]:
        """Inside, `estimate` is reserved; count the request before leaving.

        Raises BudgetSpent when the day's budget, or this person's part of it, is used up. When only running requests
        may use up the rest, it waits for them, at most `patience_s`.
        """
        reservation = _Reservation(asked_by.person, estimate)
        await self._reserve(reservation)
        try:
            yield
        finally:
            self._reserved.discard(reservation)
            self._freed.set()
            self._freed = asyncio.Event()

    async def _reserve(self, reservation: _Reservation) -> None:
        """Add the reservation once there is room for it."""
        patient_until = asyncio.get_running_loop().time() + self._patience_s
        while True:
            freed = self._freed
            limits = await self._read(reservation.person)
            if freed.is_set():  # the request that ended may be in neither sum
                continue
            for limit in limits:
                if (what := limit.used_up) is not None:
                    raise self._spent(what, limit)
            busy = next((limit for limit in limits if limit.may_run_out), None)
            if busy is None:
                self._reserved.add(reservation)
                return
            try:
                async with asyncio.timeout_at(patient_until):
                    await freed.wait()
            except TimeoutError as exc:
                raise self._reserved_by_others(busy) from exc

    async def _read(self, person: str) -> tuple[_Limit, ...]:
        """Each limit with what is spent and reserved now."""
        limits = self.limits
        everyone, theirs = await self._table.of_day(self._days.today().isoformat(), person)
        all_reserved = tuple(self._reserved)
        their_reserved = tuple(one for one in all_reserved if one.person == person)
        return (
            _Limit("day_usd", "this host", limits.day_usd, None, everyone, all_reserved),
            _Limit("day_tokens", "this host", None, limits.day_tokens, everyone, all_reserved),
            _Limit("person_day_usd", person, limits.person_day_usd, None, theirs, their_reserved),
            _Limit("person_day_tokens", person, None, limits.person_day_tokens, theirs, their_reserved),
        )

    def _spent(self, what: str, limit: _Limit) -> BudgetSpent:
        reset = self._days.next_midnight()
        return BudgetSpent(
            f"today's budget of {limit.who} for models is used up: {what}, in {limit.spent.requests} requests; "
            f"it begins anew at {reset:%H:%M} on {reset:%A} ({reset.tzname()})",
            next_step=f"wait until then, or raise {limit.setting} under [budget] in config.toml and start the host "
            "again; sentences that need no model still work",
        )

    def _reserved_by_others(self, limit: _Limit) -> BudgetSpent:
        return BudgetSpent(
            f"what is left of today's budget of {limit.who} for models is reserved for {len(limit.reserved)} running "
            f"requests, and after {self._patience_s:g} s it still is",
            next_step=f"say it again in a minute, or raise {limit.setting} under [budget] in config.toml and start the "
            "host again; sentences that need no model still work",
        )
