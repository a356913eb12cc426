"""One source, built for the device and for the host: our libc and the host's give the same for the same arguments.

The arguments are random and the same in each run, with the cases in which such functions differ among them.
"""

from __future__ import annotations

import math
import os
import random
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import islice
from pathlib import Path

import pytest
from tests.programs.wasm.libc.conftest import RunC, native


def c_file(name: str) -> str:
    return (Path(__file__).parent / f"{name}.c").read_text(encoding="utf-8")


CHANCE = random.Random()


@pytest.fixture(autouse=True)
def same_each_time(request: pytest.FixtureRequest) -> None:
    """`make fuzz` looks for new cases."""
    CHANCE.seed(None if os.environ.get("MICROCLAW_FUZZ") else request.node.name)


def c_text(data: bytes | str) -> str:
    """A string literal; every byte is escaped, so that none joins its neighbour."""
    if isinstance(data, str):
        data = data.encode()
    return '"' + "".join(f"\\{byte:03o}" for byte in data) + '"'


def double(bits: int) -> float:
    return float(struct.unpack("<d", struct.pack("<Q", bits))[0])


def any_double() -> float:
    kinds: tuple[Callable[[], float], ...] = (
        *[lambda: double(CHANCE.getrandbits(64))] * 2,
        lambda: CHANCE.uniform(-1, 1),
        lambda: CHANCE.uniform(-20, 20),
        lambda: CHANCE.uniform(-750, 750),
        lambda: CHANCE.randint(-20000, 20000) * math.pi / 4,
        lambda: CHANCE.randint(-(10**6), 10**6) / 1000,
        lambda: CHANCE.choice(SPECIAL) * CHANCE.choice((1, -1)),
    )
    return CHANCE.choice(kinds)()


SPECIAL = (
    *(0.0, 1.0, 0.5, 1.5, 2.5, 0.125, 2.0**52, 2.0**53 + 2, 1e15, 1e16, 9.5, 99.5, 999999.5, 0.0001, 0.00001),
    *(5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, math.inf, math.nan),
)


def c_double(value: float) -> str:
    if math.isnan(value):
        return "NAN"
    return ("-" if math.copysign(1, value) < 0 else "") + ("INFINITY" if math.isinf(value) else abs(value).hex())


def filled(template: str, **tables: Iterable[str]) -> str:
    """The template with each list where `@` and its name stand."""
    for name, items in tables.items():
        template = template.replace(f"@{name}", ", ".join(items))
    return template


async def both(run_c: RunC, folder: Path, body: str) -> tuple[list[str], list[str]]:
    source = c_file("head") + body
    lines = await run_c(source, stack_bytes=8192)
    return [line for line in lines if not line.startswith("microclaw: ")], native(source, folder)


async def assert_same(run_c: RunC, folder: Path, body: str, cases: Sequence[object] = ()) -> None:
    """Line by line; `cases` are shown with the lines that differ."""
    device, host = await both(run_c, folder, body)
    assert not cases or len(cases) == len(host)
    rows = zip(cases or range(len(host)), device, host, strict=True)
    assert [row for row in rows if row[1] != row[2]] == []


# Mathematics: by units in the last place

ONE = dict.fromkeys(
    ("ceil", "fabs", "floor", "logb", "nearbyint", "rint", "round", "sqrt", "trunc"), 0
) | dict.fromkeys(
    (
        *("acos", "acosh", "asin", "asinh", "atan", "atanh", "cbrt", "cosh", "exp", "exp2", "expm1"),
        *("log", "log10", "log1p", "log2", "sinh", "tan", "tanh", "sin", "cos"),
    ),
    2,
)
TWO = {"copysign": 0, "fdim": 0, "fmod": 0, "remainder": 0, "fmin": 0, "fmax": 0, "atan2": 2, "hypot": 2}
MORE = (
    *("ldexp", "scalbn", "modf", "modf's whole", "frexp", "frexp's exponent", "ilogb"),
    *("lround", "llround", "lrint", "llrint"),
)


def ordered(x: float) -> int:
    """Neighbouring doubles have neighbouring numbers."""
    bits = int(struct.unpack("<q", struct.pack("<d", x))[0])
    if bits >= 0:
        return bits
    return -(bits & (1 << 63) - 1)


def rows(lines: list[str], count: int) -> Iterator[list[float]]:
    """Of `count` numbers each; the board breaks long lines."""
    words = iter("".join(lines).split())
    while row := [double(int(word, 16)) for word in islice(words, count)]:
        yield row


def close(ours: float, theirs: float, ulps: int) -> bool:
    if math.isnan(theirs) or math.isnan(ours):
        return math.isnan(theirs) and math.isnan(ours)
    return abs(ordered(ours) - ordered(theirs)) <= ulps


async def test_mathematics_is_exact_or_within_two_units_in_the_last_place(run_c: RunC, tmp_path: Path) -> None:
    xs = [any_double() for _ in range(120)] + [any_double() * 1e6 for _ in range(20)]
    floats = [f"{name}f" for name in ONE][:-2]  # sinf and cosf are the firmware's
    names = [*ONE, *floats, *TWO, *MORE]
    ys = [c_double(any_double()) for _ in xs]
    es = [str(CHANCE.randint(-2200, 2200)) for _ in xs]
    source = filled(c_file("math"), ONE=ONE, FLOATS=floats, TWO=TWO, XS=map(c_double, xs), YS=ys, ES=es)
    device, host = await both(run_c, tmp_path, source)
    wrong = []
    for x, ours, theirs in zip(xs, rows(device, len(names)), rows(host, len(names)), strict=True):
        for name, a, b in zip(names, ours, theirs, strict=True):
            if name in floats:
                ulps = 2**29
            else:
                ulps = (ONE | TWO).get(name, 0)
            sign = name not in ONE or ulps or math.isnan(a) or math.copysign(1, a) == math.copysign(1, b)
            if not (sign and close(a, b, ulps)):
                wrong.append((name, x, a, b))
        root = ours[names.index("cbrt")]
        if math.isfinite(x) and x:
            below, above = (Fraction(abs(root)) + Fraction(math.ulp(root)) * side for side in (-1, 1))
            assert below**3 <= Fraction(abs(x)) <= above**3
    assert wrong == []


# Printing


def conversion() -> tuple[str, list[str]]:
    """A conversion with random flags, width, precision and size, and its arguments in C."""
    letter = CHANCE.choice("diuxXocsfFeEgGaA")
    flags = {**dict.fromkeys("xXo", "-#0"), **dict.fromkeys("digG", "-+ 0"), "u": "-0", "c": "-", "s": "-"}
    form = "%" + "".join(CHANCE.choices(flags.get(letter, "-+ #0"), k=CHANCE.randrange(4)))
    arguments = []
    for before, least, most in (("", -70, 70), (".", -2, 60))[: 1 if letter == "c" else 2]:
        value = CHANCE.randint(least, most)
        how = CHANCE.choice(("none", "digits", "star"))
        if how == "digits":
            form += f"{before}{abs(value) or (0 if before else 1)}"
        elif how == "star":
            form += f"{before}*"
            arguments.append(str(value))
    if letter in "diuxXo":
        size = CHANCE.choice(("hh", "h", "", "ll", "j"))
        form += size
        wide = CHANCE.choice((CHANCE.getrandbits(64), CHANCE.randint(0, 300)))
        arguments.append(f"{wide}ull" if size in ("ll", "j") else f"(int){CHANCE.getrandbits(32)}u")
    elif letter == "c":
        arguments.append(str(CHANCE.randint(1, 255)))
    elif letter == "s":
        arguments.append(c_text(CHANCE.randbytes(CHANCE.randrange(20)).replace(b"\0", b"x")))
    else:
        real = any_double()
        arguments.append(c_double(0.5 if math.isnan(real) else real))
    return form + letter, arguments


async def test_every_conversion_prints_what_the_host_prints(run_c: RunC, tmp_path: Path) -> None:
    """Whole, and cut at a size below 13 with a guard behind."""
    calls = []
    for _ in range(180):
        parts = [conversion() for _ in range(CHANCE.randint(1, 3))]
        form = "|".join(form for form, _ in parts) + "%%"
        calls.append(f"    print({c_text(form)}, {', '.join(a for _, arguments in parts for a in arguments)});\n")
    for letter in "feg" * 20:
        value = next(x for x in iter(any_double, None) if math.isfinite(x))
        calls.append(f'    print("%.*{letter}", {CHANCE.randint(0, 1100)}, {c_double(value)});\n')
    cases = [call for call in calls for _ in range(2)]
    await assert_same(run_c, tmp_path, f"{c_file('prints')}int main(void) {{\n{''.join(calls)}}}\n", cases)


# Reading


def midway() -> str:
    """The number in the middle between a double and the next, in full: only an exact reader gets it right."""
    low = double(CHANCE.randrange(2047 << 52))
    with localcontext() as context:
        context.prec = 1200
        middle = (Decimal(low) + Decimal(math.nextafter(low, math.inf))) / 2
        if middle.is_finite():
            return format(middle, "f" if 1e-5 < low < 1e20 else "e")
        return "1"


def number() -> str:
    kinds: tuple[Callable[[], str], ...] = (
        lambda: "".join(CHANCE.choices("0123456789+-.eExXpPabcdef infinityNAN", k=CHANCE.randrange(15))),
        lambda: repr(any_double()),
        lambda: f" {any_double():.9g}",
        lambda: any_double().hex(),
        lambda: (
            " \t"[: CHANCE.randrange(3)]
            + CHANCE.choice(("", "+", "-"))
            + str(CHANCE.getrandbits(60))[: CHANCE.randrange(20)]
            + CHANCE.choice(("", "."))
            + str(CHANCE.getrandbits(60))[: CHANCE.randrange(20)]
            + CHANCE.choice(("", "e5", "E-12", "e+308", "e-320"))
        ),
        lambda: f"{CHANCE.randrange(10**40)}e{CHANCE.randint(-380, 320)}",
    )
    return CHANCE.choice(kinds)()


FLOATS = [
    "2.2250738585072011e-308",
    "4.9406564584124654e-324",
    "2.4703282292062328e-324",
    "0x1.fffffffffffff8p1023",
    "0x1.0000000000000800000000001p0",
    "9007199254740993.0000000000000000000000000000000001",
    "nan",
    "1e-99999999999",
    "0x",
    "infinit",
    "1.00000005960464477539062500000000000000000000001",
    "3.4028235677973365e38",
    "7.006492321624085e-46",
    "1e400",
    "1e-310",
    "inf",
]
INTEGERS = [
    *("9223372036854775807", "9223372036854775808", "-9223372036854775809", "18446744073709551616", "-1", "0x", "0xg")
]


async def test_numbers_are_read_as_by_the_host(run_c: RunC, tmp_path: Path) -> None:
    numbers = [*FLOATS, *(number() for _ in range(260)), *(midway() for _ in range(20))]
    wholes = [*INTEGERS, *(str(CHANCE.randint(-(2**65), 2**65)) for _ in range(40)), "7", " -7xyz"]
    digits = "0123456789abcfxzAFXZ"
    for _ in range(120):
        head = CHANCE.choice(("", " ", "\n ")) + CHANCE.choice(("", "+", "-")) + CHANCE.choice(("", "0x", "0X", "0"))
        wholes.append(head + "".join(CHANCE.choices(digits, k=CHANCE.randrange(24))))
    source = filled(c_file("reads"), NUMBERS=map(c_text, numbers), WHOLES=map(c_text, wholes))
    await assert_same(run_c, tmp_path, source, [*numbers, *wholes])


WHOLE_KINDS = ("d", "i", "u", "x", "o", "hhd", "hd", "hu", "lld", "llu", "llx", "f", "lf", "g", "le")
TEXT_KINDS = ("s", "5s", "c", "3c", "[a-z]", "[^,]", "7[0-9.]", "[]x]", "[^]]", "[a-]", "2[abc]", "n")
SCANNED = [
    *(("pin=%d mode=%7s", "pin=27 mode=out"), ("%d", ""), ("%d", "x"), ("%d %d", "5"), ("%5c", "abc"), ("x%d", "")),
    *((" %n", "   "), ("%3f", "1e5")),
]


def scan() -> tuple[str, str]:
    """A format and a text. What C17 7.21.6.2 leaves open is left out: a lone "0x", numbers that do not fit."""
    form = ""
    for _ in range(CHANCE.randint(1, 4)):
        letter = CHANCE.choice((*WHOLE_KINDS, *TEXT_KINDS))
        skips = "" if letter == "n" or CHANCE.randrange(6) else "*"
        if letter in WHOLE_KINDS:
            width = CHANCE.choice(("", "", "1", "2", "5", "9"))
        else:
            width = ""
        form += CHANCE.choice(("", "", " ", ",", "=", "x", "%%", "pin")) + f"%{skips}{width}{letter}"
    if CHANCE.randrange(2):
        return form, "".join(CHANCE.choices("012345678abc.,=+-e% ]pin\n", k=CHANCE.randrange(9)))
    words = ("12", "-7", "017", "3.75", "-1e3", "abc", "hello", ",", "=", " ", "pin", "%", "x]")
    text = " ".join(CHANCE.choices((*words, "0x1f"), k=CHANCE.randrange(7)))
    return form, text if "0x" not in text or not any(f"{n}{c}" in form for n in "1259" for c in "ixl") else "12"


async def test_sscanf_reads_what_the_host_reads(run_c: RunC, tmp_path: Path) -> None:
    cases = SCANNED + [scan() for _ in range(500)]
    calls = "".join(f"    {{{c_text(form)}, {c_text(text)}}},\n" for form, text in cases)
    await assert_same(
        run_c,
        tmp_path,
        f"static const char *const cases[][2] = {{\n{calls}}};\nint main(void) {{\n"
        f"    for (int i = 0; i < {len(cases)}; i++) {{\n        memset(room, 0xaa, sizeof room);\n"
        "        int n = sscanf(cases[i][1], cases[i][0], room, room + 40, room + 80, room + 120);\n"
        "        show(n, room, sizeof room);\n    }\n}\n",
        cases,
    )


# Strings


async def test_functions_of_texts_give_what_the_hosts_give(run_c: RunC, tmp_path: Path) -> None:
    def text() -> str:
        return "".join(CHANCE.choices("abcAB,; xyz", k=CHANCE.randrange(13)))

    table = [(text(), text()) for _ in range(90)] + [("abc", "ab\xe4")]
    rows = [f"{{{c_text(a)}, {c_text(b)}, {CHANCE.choice(b'abcAB,; z')}, {CHANCE.randrange(13)}}}" for a, b in table]
    rows.append('{"end", "", 0, 3}')
    await assert_same(run_c, tmp_path, filled(c_file("texts"), ROWS=rows))
