"""Estimates of tokens, and list prices. Asks no model; has no prices of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from microclaw.agent.models.protocol import Message, ModelRequest, ToolReturn, UserText

CHARS_A_TOKEN: Final = 4
# Roughly the tokens that providers count for a photo.
IMAGE_TOKENS: Final = 1500
# Of a display's picture, which is enlarged to about 540 x 280 pixels.
SCREEN_TOKENS: Final = 500


def tokens(text: str) -> int:
    """Estimate the tokens of a text. Chinese has fewer characters a token than assumed; budgets allow for it."""
    return -(-len(text) // CHARS_A_TOKEN)


def messages_tokens(messages: Iterable[Message]) -> int:
    return sum(map(_tokens_of, messages))


def request_tokens(request: ModelRequest) -> int:
    """Estimate the tokens of everything that a request sends."""
    tools = sum(tokens(tool.name + tool.description + tool.schema) for tool in request.tools)
    return tokens(request.system) + tokens(request.dynamic_context) + tools + messages_tokens(request.messages)


def price(model: str, sent: int, answered: int) -> int | None:
    """Return the list price in billionths of a dollar, without cached tokens; None for an unknown model.

    The first call loads the price list, which takes a fifth of a second.
    """
    try:
        from genai_prices import Usage, calc_price
    except ImportError:
        # It is installed with the providers' libraries.
        return None
    plain = Usage(input_tokens=sent, output_tokens=answered)
    # Writing a cache costs more.
    cached = Usage(input_tokens=sent, cache_write_tokens=sent, output_tokens=answered)
    try:
        return round(max(calc_price(usage, model).total_price for usage in (plain, cached)) * 10**9)
    except (LookupError, ValueError):
        return None


def _tokens_of(message: Message) -> int:
    match message:
        case UserText():
            return tokens(message.note) + tokens(message.text) + IMAGE_TOKENS * len(message.images)
        case ToolReturn():
            return tokens(message.content) + SCREEN_TOKENS * len(message.images)
        case _ if message.provider_parts:
            return tokens(message.provider_parts) + sum(tokens(call.arguments) for call in message.calls)
        case _:
            return tokens(message.text) + sum(tokens(call.name + call.arguments) for call in message.calls)
