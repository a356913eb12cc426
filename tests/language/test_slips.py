"""A slip in a unit's name, where no number stands before it."""

from __future__ import annotations

import pytest

from microclaw.language.quantities import normalize_quantities


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("blink pin 2 every secnd", "blink pin 2 every second"),
        ("blink pin 2 every half secod", "blink pin 2 every half second"),
        ("turn pin 4 on for a mintue", "turn pin 4 on for a minute"),
        ("read it every 2 minuets", "read it every 2 minutes"),
    ],
)
def test_a_unit_with_a_slip_is_that_unit(said: str, meant: str) -> None:
    assert normalize_quantities(said) == normalize_quantities(meant)
