"""The device's own libc, or its differences from the host's: programs that check themselves."""

from __future__ import annotations

import pytest
from tests.wasm.libc.conftest import RunC

HEADERS = ("errno", "fcntl", "math", "microclaw", "stdarg", "stdio", "stdlib", "string", "strings", "time", "unistd")
HEAD = (
    "".join(f"#include <{name}.h>\n" for name in HEADERS)
    + r"""
#define CHECK(c) do { if (!(c)) printf("line %d: %s\n", __LINE__, #c); } while (0)
static char room[100], want[100];
static unsigned seed = 7;
static unsigned chance(void) { return (seed = seed * 1103515245u + 12345u) >> 8; }
static void same(const char *wanted, const char *form, ...) {
    va_list ap;
    va_start(ap, form);
    int n = vsnprintf(room, sizeof room, form, ap);
    va_end(ap);
    if (strcmp(room, wanted) != 0 || n != (int)strlen(wanted)) printf("%s gave %s\n", form, room);
}
"""
)
CHECKS = {
    "whole results of mathematics": r"""
    double ten = 1;
    for (int power = 0; power < 23; power++, ten *= 10) CHECK(log10(ten) == power);
    for (int power = -1074; power < 1024; power++) {
        CHECK(log2(ldexp(1, power)) == power);
        CHECK(exp2(power) == ldexp(1, power));
    }
    for (int n = 0; n < 200; n++) CHECK(cbrt(n * n * n) == n);
    volatile double zero = 0, one = 1;
    CHECK(hypot(3 * one, 4) == 5);
    CHECK(cos(zero) == 1);
    CHECK(exp(zero) == 1 && exp(one) == M_E);
    CHECK(atan2(one, 1) * 4 == M_PI);
    CHECK(fabsf(powf(2, 0.5f) - 1.41421356f) < 2e-7f);
    CHECK(tgamma(0.0) == INFINITY && tgamma(-0.0) == -INFINITY && lgamma(-3) == INFINITY && isnan(nan("")));
    """,
    "printf where C leaves it open": r"""
    same("0x1234", "%p", (void *)0x1234);
    same("0x0", "%p", (void *)0);
    same("[(null)]", "[%s]", (char *)0);
    same("-7 7 8 -9", "%ld %lu %zu %td", -7L, 7UL, (size_t)8, -9);
    same("100%", "100%");
    same("%y 3", "%y %d", 3);
    same("%", "%");
    same("%|", "%5%|");
    same("an", "%nan", (int *)want);
    same("   nan|NAN   |", "%6.1f|%-6E|", (double)NAN, (double)NAN);
    same("  -nan|-NAN  |", "%6.1f|%-6E|", -(double)NAN, -(double)NAN);
    """,
    "%n by size": r"""
    static const struct { const char *form; int width; } sizes[] = {
        {"12345%hhn6", 1}, {"12345%hn6", 2}, {"12345%n6", 4}, {"12345%ln6", 4}, {"12345%zn6", 4}, {"12345%lln6", 8},
        {"12345%jn6", 8}};
    for (int i = 0; i < 7; i++) {
        memset(want, 0xaa, 9);
        same("123456", sizes[i].form, want);
        for (int at = 0; at < 9; at++) CHECK((unsigned char)want[at] == (at == 0 ? 5 : at < sizes[i].width ? 0 : 0xaa));
    }
    """,
    "digits in any base": r"""
    for (int i = 0; i < 300; i++) {
        int value = (int)(chance() ^ chance() << 16), base = 2 + i % 35;
        CHECK(itoa(value, room, base) == room);
        CHECK(strtoll(room, NULL, base) == (base == 10 ? value : (long long)(unsigned)value));
        CHECK(strspn(room, "-0123456789abcdefghijklmnopqrstuvwxyz") == strlen(room));
        CHECK(ltoa(value, want, base) == want && strcmp(room, want) == 0);
        CHECK(utoa((unsigned)value, want, base) == want && strtoll(want, NULL, base) == (unsigned)value);
    }
    """,
    "dates without sense": r"""
    struct tm broken = {99, 99, 99, 99, 99, 1000000000, 99, 999, 0};
    memset(room, 0xaa, 40);
    asctime_r(&broken, room);
    for (int i = 26; i < 40; i++) CHECK((unsigned char)room[i] == 0xaa);
    CHECK(strlen(room) <= 25);
    CHECK(strftime(room, 40, "%a %A %b %B", &broken) == 7 && strcmp(room, "? ? ? ?") == 0);
    time_t far = 1ll << 62;
    CHECK(gmtime_r(&far, &broken) == NULL);
    struct timespec no_time = {0, 1000000000}, moment = {0, 500};
    errno = 0;
    CHECK(nanosleep(&moment, NULL) == 0 && nanosleep(&no_time, NULL) == -1 && errno == EINVAL);
    """,
}
STDIO = r"""
int main(void) {
    const char *volatile form = "<%s%c%d>\n";
    static char text[1001];
    CHECK(fputs("text\n", stdout) >= 0 && fputc(0x141, stderr) == 0x41 && putc(66, stdout) == 66);
    CHECK(fwrite("abc\tdef\n", 1, 8, stdout) == 8 && fflush(stdout) == 0 && ferror(stdout) == 0);
    CHECK(setvbuf(stdout, NULL, _IONBF, 0) == 0 && dprintf(2, "<%d>\n", 7) == 4);
    for (int i = 0; i < 5; i++) {
        static const int lengths[] = {0, 5, 64, 65, 400};
        memset(text, 0, sizeof text), memset(text, 'x', lengths[i]);
        CHECK(printf(form, text, 'c', 42) == lengths[i] + 6);
    }
    return 0;
}
"""
ENDED = "microclaw: ended: main returned 0"


@pytest.mark.parametrize("name", CHECKS)
async def test_device_finds_no_line_wrong(run_c: RunC, name: str) -> None:
    assert [line for line in await run_c(f"{HEAD}int main(void) {{{CHECKS[name]}return 0;\n}}") if line != ENDED] == []


async def test_micros_wraps_as_an_unsigned_long(run_c: RunC) -> None:
    (line,) = await run_c(HEAD + 'void on_init(void) { printf("%lu\\n", micros()); }', up_ms=5_000_000)
    assert 0 <= int(line) - 5_000_000_000 % 2**32 < 10_000


async def test_the_console_gets_everything_in_order(run_c: RunC) -> None:
    lines = ["text", "ABabc\tdef", "<7>", *(f"<{'x' * length}c42>" for length in (0, 5, 64, 65, 400))]
    assert [line for line in await run_c(HEAD + STDIO) if line != ENDED] == lines
