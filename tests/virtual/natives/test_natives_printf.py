"""printf as WAMR does it: a table of formats, compiled by clang so that the varargs are the real ones."""

from __future__ import annotations

from tests.virtual.natives.conftest import CBench

from microclaw.virtual.natives.printf import MAX_TEXT_BYTES

# arguments of printf, what the console shows
CASES = [
    ('"plain"', "plain"),
    ('"%%"', "%"),
    ('"%d", -5', "-5"),
    ('"%i", 17', "17"),
    ('"%u", 4000000000u', "4000000000"),
    ('"%d", 2147483647 + 1u', "-2147483648"),
    ('"[%5d]", 42', "[   42]"),
    ('"[%-5d]", 42', "[42   ]"),
    ('"[%05d]", 42', "[00042]"),
    ('"[%+d]", 42', "[+42]"),
    ('"[% d]", 42', "[ 42]"),
    ('"[%+d]", -42', "[-42]"),
    ('"[%05d]", -42', "[-0042]"),
    ('"[%.3d]", 5', "[005]"),
    ('"[%5.3d]", 5', "[  005]"),
    ('"[%05.3d]", 5', "[  005]"),
    ('"[%.0d]", 0', "[]"),
    ('"[%+.0d]", 0', "[+]"),
    ('"[% 3.0d]", 0', "[   ]"),
    ('"[%#.0o]", 0', "[0]"),
    ('"[%#.0x]", 0', "[]"),
    ('"[%-6.2d]", 7', "[07    ]"),
    ('"%x", 0xbeef', "beef"),
    ('"%X", 0xbeef', "BEEF"),
    ('"%08x", 0xbeef', "0000beef"),
    ('"%#x", 255', "0xff"),
    ('"%#X", 255', "0XFF"),
    ('"%#x", 0', "0"),
    ('"%#010x", 255', "0x000000ff"),
    ('"%o", 8', "10"),
    ('"%#o", 8', "010"),
    ('"%x", -1', "ffffffff"),
    ('"%p", (void *)63', "0x3f"),
    ('"%p", (void *)0', "0x0"),
    ('"%c%c%c", 67, 57, 43', "C9+"),
    ('"[%3c]", 65', "[  A]"),
    ('"[%-3c]", 65', "[A  ]"),
    ('"[%8s]", "abc"', "[     abc]"),
    ('"[%-8s]", "abc"', "[abc     ]"),
    ('"[%.3s]", "abcdef"', "[abc]"),
    ('"[%6.2s]", "abc"', "[    ab]"),
    ('"%s", ""', ""),
    ('"%lld", -1234567890123456789LL', "-1234567890123456789"),
    ('"%llu", 18446744073709551615ULL', "18446744073709551615"),
    ('"%llx", 1ULL << 40', "10000000000"),
    ('"%d %lld %d %f", 1, 1LL << 40, 2, 0.5', "1 1099511627776 2 0.500000"),
    ('"%jd", 5000000000LL', "5000000000"),
    ('"%20lld|", -7LL', "                  -7|"),
    ('"%ld %lu %lx", -7L, 7UL, 255UL', "-7 7 ff"),
    ('"%zu", sizeof(int)', "4"),
    ('"%zd", -3', "-3"),
    ('"%td", 9', "9"),
    ('"%hhu", 456', "200"),
    ('"%hd", -3', "-3"),
    ('"%hhd", 200', "-56"),
    ('"%hu", 65537', "1"),
    ('"%f", 3.14159265', "3.141593"),
    ('"%.3f", 2.0 / 3.0', "0.667"),
    ('"%.0f", 2.5', "2"),
    ('"%8.2f|", -1.005', "   -1.00|"),
    ('"%+.1f", 2.0', "+2.0"),
    ('"%08.3f", -3.14159', "-003.142"),
    ('"%-9.2f|", 1.5', "1.50     |"),
    ('"%e", 12345.678', "1.234568e+04"),
    ('"%.2e", 0.00042', "4.20e-04"),
    ('"%E", 1.0', "1.000000E+00"),
    ('"%g", 0.0001', "0.0001"),
    ('"%g", 100000.0', "100000"),
    ('"%g", 1e10', "1e+10"),
    ('"%G", 1e-10', "1E-10"),
    ('"%#g", 1.0', "1.00000"),
    ('"%f", 1.0 / 0.0 * 1.0', "inf"),
    ('"[%06f]", -1.0 / 0.0', "[  -inf]"),
    ('"%*d", 5, 42', "%*d"),
    ('"%-*d|", 5, 42', "%*d|"),
    ('"%y", 1', "%y"),
    ('"%n"', "%n"),
    ('"100%"', "100"),
    ('"%d%", 3', "3"),
    ('"%f", 1e60', "999999999999999949387135297074018866963645011013410073083904.00"),
    ('"%100d|", 1', "                                                               |"),
    ('"%70s|", "x"', "                                                                     x|"),
]


def test_printf_prints_what_the_firmware_prints(bench: CBench) -> None:
    calls = "\n".join(f"printf({arguments}); putchar(10);" for arguments, _ in CASES)
    bench.run(f"void on_init(void) {{ {calls} }}")
    printed = dict(zip((arguments for arguments, _ in CASES), bench.lines(), strict=True))
    assert printed == dict(CASES)


def test_snprintf_cuts_and_answers_the_full_length(bench: CBench) -> None:
    bench.run(
        """void on_init(void) { char b[8] = "xxxxxxx"; int n = snprintf(b, 6, "%s", "truncated");
        printf("%s %d\\n", b, n);
        n = snprintf(b, 0, "%d", 12345); printf("%s %d\\n", b, n); n = sprintf(b, "%02d:%02d", 7, 5);
        printf("%s %d\\n", b, n); }"""
    )
    assert bench.lines() == ["trunc 9", "trunc 5", "07:05 5"]


def test_string_outside_of_memory_traps(bench: CBench) -> None:
    app = bench.run('void on_init(void) { printf("%s", (char *)0x7fffffff); }')
    assert app.error == "Exception: out of bounds memory access"
    assert bench.lines() == ["Got exception running WASM code: Exception: out of bounds memory access"]


def test_va_list_that_runs_out_of_memory_traps(bench: CBench) -> None:
    app = bench.run(
        """int vprintf(const char *, char *);
        void on_init(void) { vprintf("%d%d", (char *)(__builtin_wasm_memory_size(0) * 65536 - 4)); }"""
    )
    assert app.error == "Exception: out of bounds memory access"


def test_widths_cannot_make_endless_text(bench: CBench) -> None:
    app = bench.run(
        """int vsnprintf(char *, size_t, const char *, void *); static char f[601]; static const char *none[100];
        void on_init(void) { for (int i = 0; i < 600; i++) f[i] = "%9999s"[i % 6];
        for (int i = 0; i < 100; i++) none[i] = "";
        printf("%d\\n", vsnprintf(f, 0, f, none)); }"""
    )
    assert (bench.lines(), app.error) == ([str(MAX_TEXT_BYTES)], None)
