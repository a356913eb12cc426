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
from tests.wasm.libc.conftest import RunC, native

HEADERS = ("ctype", "errno", "inttypes", "math", "stdarg", "stdio", "stdlib", "string", "strings", "time", "unistd")
HEAD = (
    "".join(f"#include <{name}.h>\n" for name in HEADERS)
    + r"""
static char out[3000], room[160];
/* Length, checksum and the beginning of `size` bytes: what is printed stays short and without odd characters. */
static void show(int result, const char *data, int size) {
    unsigned sum = 2166136261u;
    for (int i = 0; i < size; i++) sum = (sum ^ (unsigned char)data[i]) * 16777619u;
    for (int i = 0; i < 40; i++) out[i] = i < size && data[i] > 31 && data[i] < 127 ? data[i] : '.';
    out[40] = 0;
    printf("%d %d %08x %s\n", result, size, sum, out);
}
"""
)
CHANCE = random.Random()


@pytest.fixture(autouse=True)
def same_each_time(request: pytest.FixtureRequest) -> None:
    """`make fuzz` looks for new cases."""
    CHANCE.seed(None if os.environ.get("MICROCLAW_FUZZ") else request.node.name)


def c_text(data: bytes | str) -> str:
    """A string literal; every byte is escaped, so that none joins its neighbour."""
    data = data.encode() if isinstance(data, str) else data
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
    source = f"{HEAD}{body}"
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
GAMMA = ("tgamma", "lgamma", "erf", "erfc")
MATH = """
static void put(double x) { union { double d; unsigned long long b; } u = {x}; printf("%016llx ", u.b); }
typedef double one(double);
typedef float onef(float);
typedef double two(double, double);
static one *const volatile f[] = {@ONE};
static onef *const volatile ff[] = {@FLOATS};
static two *const volatile g[] = {@TWO};
#ifdef __wasm__
#define FLOAT(k, x) ff[k](x)
#else
#define FLOAT(k, x) (float)f[k]((float)(x)) /* the nearest there is */
#endif
static const double xs[] = {@XS}, ys[] = {@YS};
static const int es[] = {@ES};
int main(void) {
    for (int i = 0; i < sizeof xs / sizeof xs[0]; i++) {
        double x = xs[i], part;
        int e = 0;
        for (int k = 0; k < sizeof f / sizeof f[0]; k++) put(f[k](x));
        for (int k = 0; k < sizeof ff / sizeof ff[0]; k++) put(FLOAT(k, x));
        for (int k = 0; k < sizeof g / sizeof g[0]; k++) put(g[k](x, ys[i]));
        put(ldexp(x, es[i])), put(scalbn(x, es[i])), put(modf(x, &part)), put(part), put(frexp(x, &e));
        put(isfinite(x) ? e : 0), put(ilogb(isnan(x) ? 0 : x));
        double near = x > -2147483647 && x < 2147483647 ? x : 0.5;
        put(lround(near)), put(llround(near)), put(lrint(near)), put(llrint(near));
        printf("\\n");
    }
}
"""
MORE = (
    *("ldexp", "scalbn", "modf", "modf's whole", "frexp", "frexp's exponent", "ilogb"),
    *("lround", "llround", "lrint", "llrint"),
)


def ordered(x: float) -> int:
    """Neighbouring doubles have neighbouring numbers."""
    bits = int(struct.unpack("<q", struct.pack("<d", x))[0])
    return bits if bits >= 0 else -(bits & (1 << 63) - 1)


def rows(lines: list[str], count: int) -> Iterator[list[float]]:
    """Of `count` numbers each; the board breaks long lines."""
    words = iter("".join(lines).split())
    while row := [double(int(word, 16)) for word in islice(words, count)]:
        yield row


def close(ours: float, theirs: float, ulps: int) -> bool:
    if math.isnan(theirs) or math.isnan(ours):
        return math.isnan(theirs) and math.isnan(ours)
    return abs(ordered(ours) - ordered(theirs)) <= ulps


@pytest.mark.parametrize("part", range(2))
async def test_mathematics_is_exact_or_within_two_units_in_the_last_place(
    part: int, run_c: RunC, tmp_path: Path
) -> None:
    xs = [any_double() for _ in range(120)] + [any_double() * 1e6 for _ in range(20)]
    floats = [f"{name}f" for name in ONE][:-2]  # sinf and cosf are the firmware's
    names = [*ONE, *floats, *TWO, *MORE]
    ys = [c_double(any_double()) for _ in xs]
    es = [str(CHANCE.randint(-2200, 2200)) for _ in xs]
    source = filled(MATH, ONE=ONE, FLOATS=floats, TWO=TWO, XS=map(c_double, xs), YS=ys, ES=es)
    device, host = await both(run_c, tmp_path, source)
    wrong = []
    for x, ours, theirs in zip(xs, rows(device, len(names)), rows(host, len(names)), strict=True):
        for name, a, b in zip(names, ours, theirs, strict=True):
            ulps = 2**29 if name in floats else (ONE | TWO).get(name, 0)
            sign = name not in ONE or ulps or math.isnan(a) or math.copysign(1, a) == math.copysign(1, b)
            if not (sign and close(a, b, ulps)):
                wrong.append((name, x, a, b))
        root = ours[names.index("cbrt")]
        if math.isfinite(x) and x:
            below, above = (Fraction(abs(root)) + Fraction(math.ulp(root)) * side for side in (-1, 1))
            assert below**3 <= Fraction(abs(x)) <= above**3
    assert wrong == []


async def test_gamma_and_error_functions_agree(run_c: RunC, tmp_path: Path) -> None:
    xs = [*(CHANCE.uniform(-170, 171) for _ in range(120)), *(CHANCE.uniform(-6, 6) for _ in range(120))]
    xs += [
        *(0.5, 1.0, 2.0, 5.0, 23.0, 24.0, 100.5, 170.6, -0.5, -1.5, -170.5, 1e-300, 1e-10, 1.4999, 1.5),
        *(22.758048986364543, 24.74075042687672, 26.5, -3.0, 0.75),
    ]
    xs += [math.inf, math.nan]
    floats = [f"{name}f" for name in GAMMA]
    source = filled(
        MATH.partition("int main")[0], ONE=GAMMA, FLOATS=floats, TWO=["pow"], XS=map(c_double, xs), YS="0", ES="0"
    )
    source += (
        f"int main(void) {{ for (int i = 0; i < {len(xs)}; i++) {{ for (int k = 0; k < 4; k++) put(f[k](xs[i]));\n"
        '    for (int k = 0; k < 4; k++) put(FLOAT(k, xs[i]));\n    printf("\\n"); } }\n'
    )
    device, host = await both(run_c, tmp_path, source)
    for x, ours, theirs in zip(xs, rows(device, 8), rows(host, 8), strict=True):
        for name, a, b in zip((*GAMMA, *floats), ours, theirs, strict=True):
            if (name.startswith("tgamma") and math.isinf(b) and not math.isinf(x)) or (name[-1] == "f" and x != 0.75):
                continue  # its poles are of the device's own checks
            least, relative = 1e-13 if name == "lgamma" else 1e-300, 1e-6 if name not in GAMMA else 5e-14
            if math.isnan(b):
                assert math.isnan(a), (name, x)
            else:  # lgamma has roots, near which only the absolute error is small
                assert a == b or abs(a - b) <= max(abs(b) * relative, least), (name, x)


# Printing


def conversion(letters: str = "diuxXocsfFeEgGaA") -> tuple[str, list[str]]:
    """A conversion with random flags, width, precision and size, and its arguments in C."""
    letter = CHANCE.choice(letters)
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


PRINTS = """
static char text[3000];
static void print(const char *form, ...) {
    va_list ap;
    for (int size = sizeof text; size; size = size == sizeof text ? 1 + form[1] % 13 : 0) {
        memset(text, 1, 16), va_start(ap, form);
        int n = vsnprintf(text, size, form, ap);
        va_end(ap), show(n, text, size == sizeof text ? (int)strlen(text) : 16);
    }
}
"""


@pytest.mark.parametrize("part", range(3))
async def test_every_conversion_prints_what_the_host_prints(part: int, run_c: RunC, tmp_path: Path) -> None:
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
    await assert_same(run_c, tmp_path, f"{PRINTS}int main(void) {{\n{''.join(calls)}}}\n", cases)


async def test_the_alternate_g_keeps_its_zeros(run_c: RunC) -> None:
    """Some versions of glibc drop them: Python's formatting is the measure."""
    cases = [(999999.5, 6)]
    cases += [(any_double(), CHANCE.randint(0, 30)) for _ in range(100)]
    cases = [(value, precision) for value, precision in cases if math.isfinite(value)]
    calls = "".join(f'    printf("%#.*g\\n", {precision}, {c_double(value)});\n' for value, precision in cases)
    lines = await run_c(f"#include <stdio.h>\nint main(void) {{\n{calls}}}\n")
    assert lines == [f"%#.{precision}g" % value for value, precision in cases]


# Reading


def midway() -> str:
    """The number in the middle between a double and the next, in full: only an exact reader gets it right."""
    low = double(CHANCE.randrange(2047 << 52))
    with localcontext() as context:
        context.prec = 1200
        middle = (Decimal(low) + Decimal(math.nextafter(low, math.inf))) / 2
        return format(middle, "f" if 1e-5 < low < 1e20 else "e") if middle.is_finite() else "1"


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
    "2.4703282292062327e-324",
    "2.4703282292062328e-324",
    "0x1.fffffffffffff8p1023",
    "0x0.00000000000008p-1022",
    "0x1.0000000000000800000000001p0",
    "9007199254740993.0000000000000000000000000000000001",
    "nan",
    "1e99999999999",
    "1e-99999999999",
    "0e99999999999",
    "0x",
    "1e+",
    "infinit",
    "1.00000005960464477539062500000000000000000000001",
    "3.4028235677973366e38",
    "3.4028235677973365e38",
    "7.006492321624085e-46",
    "1e400",
    "-1e400",
    "1e-310",
    "1e300",
    "inf",
]
FLOATS += ["179769313486231580793" + "0" * 289, "1" + "0" * 400, "0." + "0" * 400 + "1"]
INTEGERS = [
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "-1",
    "0x",
    "0xg",
    "-0x",
]
READS = """
static const char *const numbers[] = {@NUMBERS}, *const wholes[] = {@WHOLES};
static const int bases[] = {0, 2, 8, 10, 16, 36};
int main(void) {
    char *end;
    for (int i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        union { double d; unsigned long long b; } u;
        u.d = strtod(numbers[i], &end);
        if (isnan(u.d)) u.d = INFINITY; /* the sign of nan says nothing */
        printf("%016llx %d ", u.b, (int)(end - numbers[i]));
        u.d = strtof(numbers[i], &end);
        if (isnan(u.d)) u.d = INFINITY;
        printf("%016llx %d\\n", u.b, (int)(end - numbers[i]));
    }
    for (int i = 0; i < sizeof wholes / sizeof wholes[0]; i++) {
        for (int k = 0; k < 6; k++) {
            printf("%lld %d ", strtoll(wholes[i], &end, bases[k]), (int)(end - wholes[i]));
            printf("%llu %d ", strtoull(wholes[i], &end, bases[k]), (int)(end - wholes[i]));
        }
        printf("%lld %d\\n", atoll(wholes[i]), (int)atof(wholes[i]) == 7);
    }
}
"""


async def test_numbers_are_read_as_by_the_host(run_c: RunC, tmp_path: Path) -> None:
    numbers = [*FLOATS, *(number() for _ in range(260)), *(midway() for _ in range(20))]
    wholes = [*INTEGERS, *(str(CHANCE.randint(-(2**65), 2**65)) for _ in range(40)), "7", " -7xyz"]
    digits = "0123456789abcfxzAFXZ"
    for _ in range(120):
        head = CHANCE.choice(("", " ", "\n ")) + CHANCE.choice(("", "+", "-")) + CHANCE.choice(("", "0x", "0X", "0"))
        wholes.append(head + "".join(CHANCE.choices(digits, k=CHANCE.randrange(24))))
    source = filled(READS, NUMBERS=map(c_text, numbers), WHOLES=map(c_text, wholes))
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
        width = CHANCE.choice(("", "", "1", "2", "5", "9")) if letter in WHOLE_KINDS else ""
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


# Strings, characters, sorting, divisions

TEXTS = """
static const struct { const char *a, *b; int c, n; } rows[] = {@ROWS};
static int at(const void *p) { return p ? (int)((const char *)p - room) : -1; }
#define R(call) memset(room, 0, 64), memcpy(room, a, strlen(a)), show(at(call), room, 64)
static int sign(int x) { return (x > 0) - (x < 0); }
int main(void) {
    for (int i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *a = rows[i].a, *b = rows[i].b;
        int c = rows[i].c, n = rows[i].n;
        R(strcat(room, b)); R(strpbrk(room, b)); R(strcasestr(room, b)); R(stpcpy(room, b));
        R(strrchr(room, c)); R(rindex(room, c)); R(index(room, c)); R(strncat(room, b, n)); R(memrchr(room, c, n));
        R(memmem(room, strlen(a), b, strlen(b))); R(mempcpy(room, b, strlen(b)));
        R((bcopy(room + n, room + c % 11, c % 7), room)); R((bzero(room + n, c % 11), room));
        char *copy = strndup(a, n);
        printf("%d %d %d %d [%s] ", (int)strnlen(a, n), sign(strcasecmp(a, b)), sign(strcoll(a, b)),
               bcmp(a, b, strlen(a) < strlen(b) ? strlen(a) : strlen(b)) == 0, copy);
        free(copy);
        static const char *const separators[] = {",", " ;", "", "xyz"};
        char *rest;
        strcpy(room, a);
        for (char *token = strtok(room, separators[n % 4]); token; token = strtok(NULL, separators[n % 4]))
            printf("(%s)", token);
        strcpy(room, a);
        const char *by = separators[n % 4];
        for (char *token = strtok_r(room, by, &rest); token; token = strtok_r(NULL, by, &rest)) printf("(%s)", token);
        strcpy(rest = room, a);
        for (char *token; (token = strsep(&rest, ",;"));) printf("{%s}", token);
        printf("\\n");
    }
}
"""


async def test_functions_of_texts_give_what_the_hosts_give(run_c: RunC, tmp_path: Path) -> None:
    def text() -> str:
        return "".join(CHANCE.choices("abcAB,; xyz", k=CHANCE.randrange(13)))

    table = [(text(), text()) for _ in range(90)] + [("abc", "ab\xe4")]
    rows = [f"{{{c_text(a)}, {c_text(b)}, {CHANCE.choice(b'abcAB,; z')}, {CHANCE.randrange(13)}}}" for a, b in table]
    rows.append('{"end", "", 0, 3}')
    await assert_same(run_c, tmp_path, filled(TEXTS, ROWS=rows))


REST = """
static int size;
static int by_bytes(const void *a, const void *b) { return memcmp(a, b, size); }
static const int values[] = {@VALUES};
static int (*const volatile classes[])(int) = {islower, ispunct, iscntrl, isblank, isascii};
static const int errors[] = {EINVAL, ENOENT, EBUSY, ERANGE, ENOMEM, 12345, -2147483647 - 1};
int main(void) {
    for (int c = -1; c < 256; c++)
        for (int k = 0; k < 5; k++) if (classes[k](c)) printf("%d %d\\n", k, c);
    for (int i = 0; i < 7; i++) printf("%s\\n", strerror(errors[i]));
    for (int i = 0; i + 1 < sizeof values / sizeof values[0]; i++) {
        int a = values[i], b = values[i + 1];
        div_t d = div(a, b); ldiv_t l = ldiv(a, b);
        lldiv_t ll = lldiv(a * 65536ll, b); imaxdiv_t m = imaxdiv(a * 65536ll, b);
        long long wide = a * 65536ll;
        printf("%u %u %llu %llu ", (unsigned)abs(a), (unsigned)labs(a), llabs(wide), (long long)imaxabs(wide));
        printf("%d %d %d %d %lld %lld %lld %lld\\n", d.quot, d.rem, (int)l.quot, (int)l.rem, ll.quot, ll.rem,
               (long long)m.quot, (long long)m.rem);
    }
    static const int sizes[] = {1, 2, 4, 7, 12};
    static unsigned char data[240];
    unsigned x = 7;
    for (int i = 0; i < 150; i++) {
        size = sizes[i % 5];
        int count = i * 7 % (240 / size), found;
        for (int k = 0; k < 240; k++) data[k] = (x = x * 1103515245u + 12345u) >> 16 & (i % 2 ? 255 : 3);
        unsigned char key[12];
        memcpy(key, data + 4 * size, size);
        qsort(data, count, size, by_bytes);
        unsigned char *place = bsearch(key, data, count, size, by_bytes);
        found = place && memcmp(place, key, size) == 0;
        key[0] = 255, key[size - 1] = 9;
        place = bsearch(key, data, count, size, by_bytes);
        show(found * 2 + (place != NULL), (char *)data, sizeof data);
    }
}
"""


async def test_characters_errors_divisions_and_sorting_are_the_hosts(run_c: RunC, tmp_path: Path) -> None:
    values = ["-2147483647 - 1", "2", "1", "-1", "2147483647", *(str(CHANCE.randint(1, 2**31 - 1)) for _ in range(40))]
    values += [str(-CHANCE.randint(1, 2 ** CHANCE.randint(1, 31) - 1)) for _ in range(40)]
    await assert_same(run_c, tmp_path, filled(REST, VALUES=values))


# The calendar

TIMES = """
static const long long times[] = {@TIMES};
static const int fields[][6] = {@FIELDS};
static const char *const forms[] = {@FORMS};
static void tell(const struct tm *t) {
    printf("%d %d %d %d %d %d ", t->tm_sec, t->tm_min, t->tm_hour, t->tm_mday, t->tm_mon, t->tm_year);
    printf("%d %d %d ", t->tm_wday, t->tm_yday, t->tm_isdst);
}
int main(void) {
    for (int i = 0; i < sizeof times / sizeof times[0]; i++) {
        time_t when = times[i];
        struct tm t;
        printf("%d ", gmtime_r(&when, &t) == &t);
        tell(&t), tell(gmtime(&when)), tell(localtime(&when));
        printf("%lld %lld ", (long long)mktime(&t), (long long)timegm(&t));
        int size = i * 7 % 81, n = t.tm_year < -200 ? 0 : (int)strftime(room, size, forms[i], &t);
        show(n, room, n);
        if (t.tm_year < 8000 && t.tm_year > -900)
            printf("%s%s%s", asctime_r(&t, room), asctime(&t), ctime(&when));
    }
    for (int i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        const int *f = fields[i];
        struct tm t = {f[0], f[1], f[2], f[3], f[4], f[5]};
        printf("%lld ", (long long)mktime(&t)), tell(&t), printf("\\n");
    }
    printf("%d %d %d\\n", (int)difftime(10, 3), (int)difftime(3, 10), difftime(1099511627776, 0) == 1099511627776.0);
}
"""


async def test_dates_are_the_hosts_in_utc(run_c: RunC, tmp_path: Path) -> None:
    times = [951782400, -62135596800, 4107542400]
    for _ in range(60):
        times += [CHANCE.randint(-(2**40), 2**40), CHANCE.randint(-(10**5), 10**5), CHANCE.randint(0, 4000) * 86400 - 1]
        times.append(CHANCE.randint(0, 2**35))
    limits = (200, 200, 200, 4000, 50, 2000)
    fields = [[CHANCE.randint(-limit, limit) for limit in limits] for _ in range(150)]
    letters = "aAbBcCdDeFgGhHIjklmMnpPrRStTuUVwWxXyY%"
    forms = [c_text("at " + "".join(f"%{CHANCE.choice(letters)} " for _ in range(CHANCE.randrange(7)))) for _ in times]
    rows = [f"{{{', '.join(map(str, row))}}}" for row in fields]
    source = filled(TIMES, TIMES=(f"{time}ll" for time in times), FIELDS=rows, FORMS=forms)
    await assert_same(run_c, tmp_path, source)
