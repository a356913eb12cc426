"""tgamma, lgamma, erf and erfc agree with Python's math, which has the values of C's; nan is no number."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.wasm.libc.conftest import Libc

RELATIVE = 5e-14
SPECIAL = (0.5, 1.0, 2.0, 5.0, 23.0, 24.0, 100.5, 170.6, -0.5, -1.5, -170.5, 1e-300, 1e-10, 1.4999, 1.5, 26.5, -3.0)


def _expected(name: str, x: float) -> float:
    """C's value, where Python raises an error."""
    try:
        return float(getattr(math, {"tgamma": "gamma"}.get(name, name))(x))
    except OverflowError:
        return math.inf
    except ValueError:
        return math.inf if name == "lgamma" else math.nan


@pytest.mark.parametrize("name", ["tgamma", "lgamma", "erf", "erfc"])
@settings(max_examples=250, deadline=None)
@given(x=st.one_of(st.floats(-170, 171), st.floats(-6, 6), st.sampled_from(SPECIAL)))
def test_function_agrees_with_python(shared_libc: Libc, name: str, x: float) -> None:
    if name == "tgamma" and (x == 0 or math.isinf(_expected(name, x))):
        return
    ours, theirs = shared_libc.call(name, x), _expected(name, x)
    if math.isnan(theirs):
        assert math.isnan(ours)
    else:
        # lgamma has roots, near which only the absolute error is small
        assert ours == theirs or abs(ours - theirs) <= max(
            abs(theirs) * RELATIVE, 1e-13 if name == "lgamma" else 1e-300
        )


@pytest.mark.parametrize("name", ["tgamma", "lgamma", "erf", "erfc"])
def test_ends_of_the_line(shared_libc: Libc, name: str) -> None:
    expected = {"tgamma": math.inf, "lgamma": math.inf, "erf": 1.0, "erfc": 0.0}[name]
    assert shared_libc.call(name, math.inf) == expected
    assert math.isnan(shared_libc.call(name, math.nan))
    assert shared_libc.call(f"{name}f", 0.75) == pytest.approx(_expected(name, 0.75), rel=1e-6)


def test_gamma_of_a_pole(shared_libc: Libc) -> None:
    assert shared_libc.call("tgamma", 0.0) == math.inf
    assert shared_libc.call("tgamma", -0.0) == -math.inf
    assert shared_libc.call("lgamma", -3.0) == math.inf
