"""Tells if a sentence is a yes or a no and nothing else."""

from __future__ import annotations

from typing import Final

from microclaw.language.quantities import normalize_quantities

YES: Final = frozenset(
    {"yes", "y", "yep", "yup", "ok", "okay", "sure", "go ahead", "do it", "please do", "yes do it", "yes please"}
)
NO: Final = frozenset(
    {"no", "n", "nope", "no thanks", "don't", "dont", "do not", "leave it", "cancel", "never mind", "forget it"}
    | {"not that one", "neither", "none of them"}
)


def plain(said: str) -> str:
    """The sentence as the sets above have it."""
    return normalize_quantities(said).replace(",", "")


def said_yes(said: str) -> bool:
    return plain(said) in YES


def said_no(said: str) -> bool:
    return plain(said) in NO
