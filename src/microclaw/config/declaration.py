"""How a setting is declared: its meaning, bounds and checks beside its type. It declares none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Meta


def about(
    text: str,
    low: float | None = None,
    high: float | None = None,
    *,
    secret: bool = False,
    check: Callable[[Any], str | None] | None = None,
    choices: Sequence[str] = (),
) -> Meta:
    """What a setting means and what it may be. `check` says what is wrong with a value; None: nothing.

    Each text of a list with `choices` is one of them."""
    return Meta(description=text, ge=low, le=high, extra={"secret": secret, "check": check, "choices": tuple(choices)})
