"""How much a request may use, before and after it is sent, where its service does not tell. Sends nothing.

`likely_tokens` counts what nobody told; `worst_case` is what a budget keeps free for a request under way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from microclaw.models.protocol import ModelRequest, ToolReturn, UserText

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
