"""Estimates of tokens, list prices, and which day it is for the person. Asks no model; has no prices of its own."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from typing import Final
from zoneinfo import ZoneInfo

from microclaw.models.protocol import Message, ModelRequest, ToolReturn, UserText

CHARS_A_TOKEN: Final = 4
IMAGE_TOKENS: Final = 1500  # about what providers count for a photo


def tokens(text: str) -> int:
    """An estimate, as in European languages and JSON. Chinese has fewer characters a token; budgets allow for it."""
    return -(-len(text) // CHARS_A_TOKEN)


def messages_tokens(messages: Iterable[Message]) -> int:
    return sum(map(_tokens_of, messages))


def request_tokens(request: ModelRequest) -> int:
    """Of all that a request sends."""
    tools = sum(tokens(tool.name + tool.description + tool.schema) for tool in request.tools)
    return tokens(request.system) + tokens(request.dynamic_context) + tools + messages_tokens(request.messages)


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


def _tokens_of(message: Message) -> int:
    match message:
        case UserText():
            return tokens(message.text) + IMAGE_TOKENS * len(message.images)
        case ToolReturn():
            return tokens(message.content)
        case _:
            return tokens(message.text) + sum(tokens(call.name + call.arguments) for call in message.calls)


class LocalDays:
    """Days in the person's time zone, with summer time. `timezone` None is the machine's zone."""

    def __init__(self, now_s: Callable[[], float], timezone: str | None = None) -> None:
        self._now_s = now_s
        self._zone = None if timezone is None else ZoneInfo(timezone)

    def today(self) -> datetime.date:
        return datetime.datetime.fromtimestamp(self._now_s(), self._zone).date()

    def ago(self, days: int) -> datetime.date:
        """The first of the last `days` days; today is the last of them."""
        return self.today() - datetime.timedelta(days=days - 1)

    def next_midnight(self) -> datetime.datetime:
        tomorrow = datetime.datetime.combine(self.today() + datetime.timedelta(days=1), datetime.time())
        return tomorrow.replace(tzinfo=self._zone) if self._zone is not None else tomorrow.astimezone()
