"""Our math differs from the host's by at most 2 units in the last place, and by none where a result is exact."""

from __future__ import annotations

import ctypes
import math
import struct
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.wasm.libc.conftest import HostLibc, Libc

EXACT = ("ceil", "fabs", "floor", "logb", "nearbyint", "rint", "round", "sqrt", "trunc")
CLOSE = (
    *("acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh", "exp", "exp2", "expm1"),
    *("log", "log10", "log1p", "log2", "sin", "sinh", "tan", "tanh"),
)
EXACT_OF_TWO = ("copysign", "fdim", "fmod", "remainder")
CLOSE_OF_TWO = ("atan2", "hypot")
ULPS = 2

any_double = st.integers(0, 2**64 - 1).map(lambda bits: float(struct.unpack("<d", struct.pack("<Q", bits))[0]))
doubles = st.one_of(
    st.floats(),
    any_double,
    st.floats(-1, 1),
    st.floats(-20, 20),
    st.floats(-750, 750),
    st.integers(-20000, 20000).map(lambda n: n * math.pi / 4),
    st.sampled_from([0.0, -0.0, math.inf, -math.inf, math.nan, 1.0, -1.0, 0.5, -0.5, 2.0**52, 2.0**53 + 2]),
)


def ordered(x: float) -> int:
    """Neighbouring doubles have neighbouring numbers."""
    bits = int(struct.unpack("<q", struct.pack("<d", x))[0])
    return bits if bits >= 0 else -(bits & (1 << 63) - 1)


def assert_close(ours: float, theirs: float, ulps: int) -> None:
    if math.isnan(theirs):
        assert math.isnan(ours)
    else:
        assert abs(ordered(ours) - ordered(theirs)) <= ulps, (ours, theirs)


@pytest.mark.parametrize("name", [*EXACT, *CLOSE])
@settings(max_examples=250, deadline=None)
@given(x=doubles)
def test_function_agrees_with_the_host(shared_libc: Libc, host: HostLibc, name: str, x: float) -> None:
    ours, theirs = shared_libc.call(name, x), host.of_double(name, 1)(x)
    assert_close(ours, theirs, 0 if name in EXACT else ULPS)
    if name in EXACT and not math.isnan(theirs):
        assert math.copysign(1, ours) == math.copysign(1, theirs)


@pytest.mark.parametrize("name", [*EXACT_OF_TWO, *CLOSE_OF_TWO])
@settings(max_examples=250, deadline=None)
@given(x=doubles, y=doubles)
def test_function_of_two_agrees_with_the_host(shared_libc: Libc, host: HostLibc, name: str, x: float, y: float) -> None:
    ours, theirs = shared_libc.call(name, x, y), host.of_double(name, 2)(x, y)
    assert_close(ours, theirs, 0 if name in EXACT_OF_TWO else ULPS)


@pytest.mark.parametrize("name", ["fmin", "fmax"])
@settings(deadline=None)
@given(x=doubles, y=doubles)
def test_the_smaller_and_the_greater_ignore_nan(
    shared_libc: Libc, host: HostLibc, name: str, x: float, y: float
) -> None:
    ours, theirs = shared_libc.call(name, x, y), host.of_double(name, 2)(x, y)
    assert ours == theirs or (math.isnan(ours) and math.isnan(theirs))


@pytest.mark.parametrize("name", [n for n in (*EXACT, *CLOSE) if n not in ("sin", "cos")])
@settings(max_examples=60, deadline=None)
@given(x=st.floats(width=32))
def test_float_version_is_the_nearest_float(shared_libc: Libc, name: str, host: HostLibc, x: float) -> None:
    ours, theirs = shared_libc.call(f"{name}f", x), ctypes.c_float(host.of_double(name, 1)(x)).value
    if math.isnan(theirs):
        assert math.isnan(ours)
    else:
        assert ours == theirs or abs(ours - theirs) <= math.ulp(theirs) * 2**29


@settings(max_examples=300, deadline=None)
@given(x=st.one_of(doubles, any_double))
def test_angles_of_every_size_are_reduced_exactly(shared_libc: Libc, host: HostLibc, x: float) -> None:
    for name in ("sin", "cos", "tan"):
        assert_close(shared_libc.call(name, x * 1e6), host.of_double(name, 1)(x * 1e6), ULPS)


@settings(max_examples=200, deadline=None)
@given(x=any_double)
def test_cube_root_is_within_one_ulp_of_the_true_one(shared_libc: Libc, x: float) -> None:
    assume(math.isfinite(x) and x != 0)
    root = shared_libc.call("cbrt", x)
    below, above = (Fraction(abs(root)) + Fraction(math.ulp(root)) * sign for sign in (-1, 1))
    assert below**3 <= Fraction(abs(x)) <= above**3
    assert math.copysign(1, root) == math.copysign(1, x)


def test_what_people_expect_to_be_whole_is_whole(libc: Libc) -> None:
    for power in range(23):
        assert libc.call("log10", 10.0**power) == power
    for power in range(-1074, 1024):
        assert libc.call("log2", math.ldexp(1, power)) == power
        assert libc.call("exp2", float(power)) == math.ldexp(1, power)
    for n in range(200):
        assert libc.call("cbrt", float(n**3)) == n
    assert libc.call("hypot", 3.0, 4.0) == 5
    assert libc.call("cos", 0.0) == 1
    assert libc.call("exp", 0.0) == 1
    assert libc.call("exp", 1.0) == math.e
    assert libc.call("atan2", 1.0, 1.0) * 4 == math.pi


@settings(deadline=None)
@given(x=doubles, exponent=st.integers(-2200, 2200))
def test_ldexp_and_scalbn_round_once(shared_libc: Libc, host: HostLibc, x: float, exponent: int) -> None:
    function = host.m.ldexp
    function.argtypes = [ctypes.c_double, ctypes.c_int]
    function.restype = ctypes.c_double
    for name in ("ldexp", "scalbn"):
        assert_close(shared_libc.call(name, x, exponent), function(x, exponent), 0)


@settings(deadline=None)
@given(x=doubles)
def test_frexp_and_modf_take_apart_exactly(shared_libc: Libc, x: float) -> None:
    shared_libc.forget()
    out = shared_libc.place(bytes(8))
    assert_close(shared_libc.call("modf", x, out), math.modf(x)[0], 0)
    assert_close(struct.unpack("<d", shared_libc.bytes_at(out, 8))[0], math.modf(x)[1], 0)
    assert_close(shared_libc.call("frexp", x, out), math.frexp(x)[0], 0)
    if math.isfinite(x):
        assert shared_libc.int_at(out) == math.frexp(x)[1]


@pytest.mark.parametrize(("name", "bits"), [("lround", 31), ("llround", 63), ("lrint", 31), ("llrint", 63)])
@settings(deadline=None)
@given(x=st.floats(-(2.0**31) + 1, 2.0**31 - 1))
def test_rounding_to_integers(shared_libc: Libc, name: str, bits: int, x: float) -> None:
    whole = math.floor(abs(x) + Fraction(1, 2)) * (1 if x >= 0 else -1) if "round" in name else round(x)
    assert abs(whole) < 2**bits
    assert shared_libc.call(name, x) == whole


def test_powf_is_the_firmwares_pow(libc: Libc) -> None:
    assert libc.call("powf", 2.0, 0.5) == pytest.approx(2**0.5, rel=1e-7)


def test_ilogb_of_what_has_none(libc: Libc) -> None:
    assert [libc.call("ilogb", x) for x in (8.0, 5e-324, 0.0, math.inf)] == [3, -1074, -(2**31), 2**31 - 1]
