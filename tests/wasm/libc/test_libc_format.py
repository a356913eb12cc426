"""Our printf prints what the host's prints, for every conversion, flag, width and precision that C defines."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.wasm.libc.conftest import HostLibc, Libc

ROOM = 3000
FLAGS = {"d": "-+ 0", "i": "-+ 0", "u": "-0", "x": "-#0", "X": "-#0", "o": "-#0", "c": "-", "s": "-"}
FLOAT_FLAGS = "-+ #0"
FLAGS |= {"g": "-+ 0", "G": "-+ 0"}  # some versions of glibc drop zeros of %#g: Python's is the measure below
bits64 = st.integers(0, 2**64 - 1)
doubles = st.one_of(
    st.floats(),
    bits64.map(lambda bits: float(struct.unpack("<d", struct.pack("<Q", bits))[0])),
    st.integers(-(10**6), 10**6).map(lambda n: n / 1000),
    st.sampled_from(
        [0.5, 1.5, 2.5, 0.125, 1e15, 1e16, 9.5, 99.5, 999999.5, 0.0001, 0.00001, 5e-324, 1.7976931348623157e308]
    ),
).filter(lambda x: not math.isnan(x))


@dataclass
class Conversion:
    text: str  # behind the %
    arguments: tuple[Any, ...]
    longs: tuple[bool, ...]


@st.composite
def conversions(draw: st.DrawFn) -> Conversion:
    letter = draw(st.sampled_from("diuxXocsfFeEgGaA"))
    text = "".join(draw(st.lists(st.sampled_from(FLAGS.get(letter, FLOAT_FLAGS)), max_size=3)))
    arguments: list[Any] = []
    for limit, before in ((70, ""), (60, ".")):
        if letter == "c" and before:
            continue
        value = draw(st.integers(-limit if not before else -2, limit))
        how = draw(st.sampled_from(("none", "digits", "star")))
        if how == "digits":
            text += f"{before}{abs(value) or (0 if before else 1)}"
        elif how == "star":
            text += f"{before}*"
            arguments.append(value)
    longs = [False] * len(arguments)
    if letter in "diuxXo":
        size = draw(st.sampled_from(("hh", "h", "", "ll", "j")))
        wide = size in ("ll", "j")
        text += size
        arguments.append(
            draw(st.one_of(bits64, st.integers(0, 300))) if wide else draw(st.integers(-(2**31), 2**31 - 1))
        )
        longs.append(wide)
    else:
        kind: st.SearchStrategy[Any] = doubles
        if letter == "c":
            kind = st.integers(1, 255)
        elif letter == "s":
            kind = st.binary(max_size=20).map(lambda data: data.replace(b"\0", b"x"))
        arguments.append(draw(kind))
        longs.append(False)
    return Conversion(text + letter, tuple(arguments), tuple(longs))


def our_text(libc: Libc, form: bytes, arguments: tuple[Any, ...], longs: tuple[bool, ...]) -> bytes:
    libc.forget()
    out = libc.place(bytes(ROOM))
    count = libc.call("microclaw_vsnprintf", out, ROOM, form, libc.pack(arguments, longs))
    text = libc.text_at(out)
    assert count == len(text)
    return text


@settings(max_examples=300, deadline=None)
@given(parts=st.lists(conversions(), min_size=1, max_size=3))
def test_every_conversion_prints_as_on_the_host(shared_libc: Libc, host: HostLibc, parts: list[Conversion]) -> None:
    form = "|".join(f"%{part.text}" for part in parts).encode() + b"%%"
    arguments = tuple(a for part in parts for a in part.arguments)
    longs = tuple(wide for part in parts for wide in part.longs)
    assert our_text(shared_libc, form, arguments, longs) == host.printed(form, arguments, longs)


@settings(max_examples=200, deadline=None)
@given(value=doubles.filter(math.isfinite), precision=st.integers(0, 30))
@example(999999.5, 6)
def test_the_alternate_g_keeps_its_zeros(shared_libc: Libc, value: float, precision: int) -> None:
    form = f"%#.{precision}g"
    assert our_text(shared_libc, form.encode(), (value,), (False,)).decode() == form % value


@settings(max_examples=300, deadline=None)
@given(value=doubles, precision=st.integers(0, 1100), letter=st.sampled_from("feg"))
def test_doubles_are_exact_to_the_last_digit(
    shared_libc: Libc, host: HostLibc, value: float, precision: int, letter: str
) -> None:
    form = f"%.{precision}{letter}".encode()
    assert our_text(shared_libc, form, (value,), (False,)) == host.printed(form, (value,), (False,))


@settings(deadline=None)
@given(size=st.integers(0, 12), text=st.binary(max_size=12))
def test_snprintf_cuts_ends_with_nul_and_tells_the_whole_length(shared_libc: Libc, size: int, text: bytes) -> None:
    text = text.replace(b"\0", b"x")
    shared_libc.forget()
    out = shared_libc.place(b"\xaa" * 16)
    count = shared_libc.call("microclaw_vsnprintf", out, size, b"%s", shared_libc.pack([text]))
    assert count == len(text)
    kept = text[: size - 1] + b"\0" if size else b""
    assert shared_libc.bytes_at(out, 16) == kept + b"\xaa" * (16 - len(kept))


@pytest.mark.parametrize(("size", "width"), [("hh", 1), ("h", 2), ("", 4), ("l", 4), ("z", 4), ("ll", 8), ("j", 8)])
def test_n_stores_the_count_in_the_size_asked_for(libc: Libc, size: str, width: int) -> None:
    to = libc.place(b"\xaa" * 8)
    out = libc.place(bytes(50))
    libc.call("microclaw_vsnprintf", out, 50, f"12345%{size}n6".encode(), libc.pack([to]))
    assert libc.bytes_at(to, 8) == (5).to_bytes(width, "little") + b"\xaa" * (8 - width)


@pytest.mark.parametrize(
    ("form", "arguments", "expected"),
    [
        (b"%p", (0x1234,), b"0x1234"),
        (b"%p", (0,), b"0x0"),
        (b"[%s]", (0,), b"[(null)]"),
        (b"%ld %lu %zu %td", (-7, 7, 8, -9), b"-7 7 8 -9"),
        (b"100%", (), b"100%"),
        (b"%y %d", (3,), b"%y 3"),
        (b"%", (), b"%"),
        (b"%5%|", (), b"%|"),
        (b"%nan", (0,), b"an"),
    ],
)
def test_what_the_host_does_otherwise(libc: Libc, form: bytes, arguments: tuple[int, ...], expected: bytes) -> None:
    if form == b"%nan":
        arguments = (libc.place(bytes(8)),)
    out = libc.place(bytes(60))
    libc.call("microclaw_vsnprintf", out, 60, form, libc.pack(arguments))
    assert libc.text_at(out) == expected


@pytest.mark.parametrize("text", [b"", b"short", b"x" * 64, b"y" * 65, b"z" * 1000])
def test_the_console_gets_everything_in_order(libc: Libc, text: bytes) -> None:
    assert libc.call("microclaw_vprintf", b"<%s%c%d>", libc.pack([text, 0, 42])) == len(text) + 5
    assert libc.printed == b"<" + text + b"\x0042>"


@pytest.mark.parametrize("name", ["nan", "-nan"])
def test_nan_prints_its_name(libc: Libc, name: str) -> None:
    value = math.copysign(math.nan, -1.0 if name[0] == "-" else 1.0)
    assert our_text(libc, b"%6.1f|%-6E|", (value, value), (False, False)) == f"{name:>6}|{name.upper():<6}|".encode()


@pytest.mark.parametrize("length", [5, 79, 80, 400])
def test_dprintf_writes_all_of_it_into_a_file_and_prints_for_1_and_2(shared_libc: Libc, length: int) -> None:
    libc, text = shared_libc, b"x" * length
    libc.forget()
    assert libc.call("vdprintf", 5, b"<%s|%d>", libc.pack([text, 42])) == length + 5
    assert (libc.written, libc.printed) == (b"<" + text + b"|42>", b"")
    libc.forget()
    assert libc.call("vdprintf", 2, b"<%d>", libc.pack([7])) == 3
    assert (libc.written, libc.printed) == (b"", b"<7>")
