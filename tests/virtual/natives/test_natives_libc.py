"""Strings, numbers, characters, the app heap and the ways to end, each as a C program sees it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.virtual.natives.conftest import CBench

STRINGS = """
int memcmp(const void*,const void*,size_t); void *memcpy(void*,const void*,size_t);
        void *memmove(void*,const void*,size_t);
void *memset(void*,int,size_t); void *memchr(const void*,int,size_t); char *strchr(const char*,int);
int strcmp(const char*,const char*); int strncmp(const char*,const char*,size_t);
        int strncasecmp(const char*,const char*,size_t);
char *strcpy(char*,const char*); char *strncpy(char*,const char*,size_t); size_t strlen(const char*);
size_t strspn(const char*,const char*); size_t strcspn(const char*,const char*); char *strstr(const char*,const char*);
int atoi(const char*); long strtol(const char*,char**,int); unsigned long strtoul(const char*,char**,int);
int isupper(int), isalpha(int), isspace(int), isgraph(int), isprint(int), isdigit(int), isxdigit(int), isalnum(int);
int tolower(int), toupper(int);
"""
TABLE = Path(__file__).parents[2] / "vectors" / "natives" / "libc.tsv"


def test_strings_numbers_and_characters_follow_libc(bench: CBench) -> None:
    """Each row has a C expression of type int and its value."""
    rows = [line.split("\t") for line in TABLE.read_text(encoding="utf-8").splitlines()[1:]]
    prints = "\n".join(f'printf("%d\\n", (int)({expression}));' for expression, _ in rows)
    bench.run(
        f"""{STRINGS} void on_init(void) {{ char b[32] = ""; char *end; const char *t; static char s[] = "hello";
        {prints} }}"""
    )
    assert list(zip((expression for expression, _ in rows), bench.lines(), strict=True)) == [tuple(row) for row in rows]


@pytest.mark.parametrize(
    "call", ['strcpy((char *)0x00ffffff, "x")', "memcpy(b, (void *)0x00fffff0, 32)", "memcmp(b, (void *)-4, 8)"]
)
def test_pointer_outside_of_memory_traps(bench: CBench, call: str) -> None:
    app = bench.run(f"{STRINGS} void on_init(void) {{ char b[4]; {call}; }}")
    assert app.status.error == "Exception: out of bounds memory access"


def test_heap_takes_the_size_of_the_install(bench: CBench) -> None:
    app = bench.run('void on_init(void) { printf("%d", malloc(40000) != 0); }', heap_bytes=65536)
    assert bench.lines() == ["1"]
    assert 40000 <= app.env.heap.peak_bytes <= 40016


# what it shows, the program, its lines
PROGRAMS = [
    (
        "heap_of_8192_bytes_holds_4000_but_not_7000_more",
        'void on_init(void) { char *a = malloc(4000), *b = malloc(7000); printf("%d %d\\n", a != 0, b != 0); }',
        ["warning: allocate 7000 bytes memory failed", "1 0"],
    ),
    (
        "freed_blocks_are_merged_and_used_again",
        """void on_init(void) { void *p[7]; int n = 0;
        for (int round = 0; round < 50; round++) {
            for (int i = 0; i < 7; i++) n += (p[i] = malloc(1000)) != 0;
            for (int i = 6; i >= 0; i -= 2) free(p[i]);
            for (int i = 1; i < 7; i += 2) free(p[i]);
            void *big = malloc(7500); n += big != 0; free(big);
        } printf("%d\\n", n); }""",
        ["400"],
    ),
    (
        "free_of_foreign_and_freed_pointers_is_ignored",
        """void on_init(void) { int x; char *a = malloc(16); free(a); free(a); free(&x); free(0); free(a + 4);
        printf("%d\\n", malloc(16) == a); }""",
        ["1"],
    ),
    (
        "calloc_clears_and_refuses_an_overflowing_size",
        """void on_init(void) { u8 *a = malloc(64); for (int i = 0; i < 64; i++) a[i] = 255; free(a);
        u8 *b = calloc(16, 4); int sum = 0; for (int i = 0; i < 64; i++) sum += b[i];
        printf("%d %d\\n", sum, calloc(0x10000, 0x10001) == 0); }""",
        ["0 1"],
    ),
    (
        "libm_and_random_numbers",
        """float sinf(float), cosf(float); double pow(double, double); void srand(unsigned); int rand(void);
        void on_init(void) { printf("%.4f %.4f %.1f\\n", sinf(1.0f), cosf(1.0f), pow(2.0, 10.0));
        printf("%f %f %f\\n", pow(-8.0, 0.5) == pow(-8.0, 0.5) ? 1.0 : 0.0, pow(10.0, 400.0), pow(0.0, -1.0));
        srand(5); int a = rand(); srand(5); int b = rand(), c = rand();
        printf("%d %d %d\\n", a == b, b != c, a >= 0); }""",
        ["0.8415 0.5403 1024.0", "0.000000 inf inf", "1 1 1"],
    ),
    (
        "errno_reaches_an_app_that_exports_the_hook",
        """static int e; void libc_builtin_set_errno(int n) { e = n; }
        void on_init(void) { printf("%d", open("/storage/none", RD, 0)); printf(" %d\\n", e); }""",
        ["-1 44"],
    ),
]


@pytest.mark.parametrize(("source", "lines"), [row[1:] for row in PROGRAMS], ids=[row[0] for row in PROGRAMS])
def test_program_prints(bench: CBench, source: str, lines: list[str]) -> None:
    app = bench.run(source)
    assert (bench.lines(), app.status.error) == (lines, None)


@pytest.mark.parametrize(
    ("body", "text", "kind"),
    [
        ("exit(3)", "Exception: env.exit(3)", "exited"),
        ("abort(7)", "Exception: env.abort(7)", "trapped"),
        ("z = 7 / z", "Exception: integer divide by zero", "trapped"),
        ("*(volatile int *)(0x7ffffff0 + z) = 1", "Exception: out of bounds memory access", "trapped"),
        ("f(z)", "Exception: wasm operand stack overflow", "trapped"),
    ],
)
def test_ends_are_reported_in_the_firmware_s_words(bench: CBench, body: str, text: str, kind: str) -> None:
    app = bench.run(
        f"""void exit(int); void abort(int); static volatile int z;
        __attribute__((noinline)) int f(int n) {{ return z + f(n + 1) * f(z + n); }}
        void on_init(void) {{ {body}; }}"""
    )
    assert (app.status.error, app.status.kind_of_end, str(app.status.state)) == (text, kind, kind)
    assert f"Got exception running WASM code: {text}" in bench.lines()
