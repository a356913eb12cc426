"""Whole programs against native transcripts, what a libc function costs, programs with functions of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.wasm.conftest import CompileC, OnBoard

from microclaw.boards.profile import BoardProfile
from microclaw.errors import BuildError
from microclaw.virtual.board import Board
from microclaw.virtual.runtime.loader import Runtime
from microclaw.virtual.virtual_clock import VirtualClock
from microclaw.wasm import Image

VECTORS = Path(__file__).parents[2] / "vectors" / "libc"
SOURCES = {path.stem: path.read_text() for path in sorted(VECTORS.glob("*.c"))}
EXPECTED = {name: (VECTORS / f"{name}.expected").read_text().splitlines() for name in SOURCES}
FLOAT_PRINTF_BYTES = 6144
HEAP_BYTES = 8192

RunImage = Callable[[Image], list[str]]


@pytest.fixture
def run_image(board: BoardProfile, tmp_path: Path) -> Iterator[RunImage]:
    """Run a module on a virtual board in this process until it is idle: the lines that it printed."""
    clock = VirtualClock()
    virtual = Board(board, clock, storage_dir=tmp_path / "storage")
    runtime = Runtime(virtual)

    def run(image: Image) -> list[str]:
        app = runtime.load("main", image.wasm, heap_bytes=HEAP_BYTES, timers=20)
        app.start()
        clock.settle()
        virtual.end_line("main")
        return [record.text for record in virtual.log().records if record.app == "main"]

    yield run
    runtime.close()
    virtual.close()


@pytest.mark.parametrize("name", SOURCES)
async def test_program_prints_what_a_native_build_prints(compile_c: CompileC, run_image: RunImage, name: str) -> None:
    assert run_image(await compile_c(SOURCES[name])) == EXPECTED[name]


@pytest.mark.parametrize("optimization", ["O0", "Os"])
@pytest.mark.parametrize("name", ["g07_trigonometry", "g22_percent_and_stars"])
async def test_it_does_not_depend_on_the_optimization(
    compile_c: CompileC, run_image: RunImage, name: str, optimization: str
) -> None:
    image = await compile_c(SOURCES[name], optimization=optimization)
    assert run_image(image) == EXPECTED[name]


@pytest.mark.parametrize(
    "name", ["g04_table_with_star", "g07_trigonometry", "g14_sscanf_commands", "g22_percent_and_stars"]
)
async def test_clang_builds_the_same_behaviour(
    compile_c: CompileC, run_image: RunImage, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("MICROCLAW_COMPILER", "clang")
    image = await compile_c(SOURCES[name])
    assert image.compiler.startswith("clang ")
    assert run_image(image) == EXPECTED[name]


async def test_a_printf_of_floats_of_our_own_fits_in_6_kb(compile_c: CompileC) -> None:
    source = '#include <stdio.h>\nint main(void) { for (int i = 0; i < 3; i++) printf("%*.*f|\\n", 9, i, i * 1.5); }'
    unasked = "void on_request(char *buffer, int size) { (void)buffer, (void)size; }"  # without what keeps the lines
    image = await compile_c(source + unasked)
    assert image.size_bytes <= FLOAT_PRINTF_BYTES


PLAIN = (
    '"plain %d%% %s\\n", 5, "x"',
    '"%5.2f %-8s|%08x %+d %#x %lld %zu %g\\n", 1.5, "a", 1, 2, 3, 4ll, sizeof(int), 2.0',
    '"100%% *** %d ***\\n", 1',
)
FULL = (
    '"%*d\\n", 5, 1',
    '"%.*f\\n", 2, 1.5',
    '"%64d\\n", 1',
    '"%a\\n", 1.0',
    '"%d%n\\n", 1, &n',
    'n ? "a%d\\n" : "b%d\\n", n',
)


def printing(arguments: str) -> str:
    return f"#include <stdio.h>\nint main(void) {{ static int n; printf({arguments}); return n; }}"


@pytest.mark.parametrize("arguments", PLAIN)
async def test_a_plain_format_costs_nothing(compile_c: CompileC, arguments: str) -> None:
    with_ours = await compile_c(printing(arguments))
    bare = "int printf(const char *, ...);\ntypedef __SIZE_TYPE__ size_t;\n" + printing(arguments).partition("\n")[2]
    without = await compile_c(bare)
    assert with_ours.wasm == without.wasm


@pytest.mark.parametrize("arguments", FULL)
async def test_what_the_firmware_cannot_print_is_printed_by_ours(compile_c: CompileC, arguments: str) -> None:
    assert (await compile_c(printing(arguments))).size_bytes > 2000


async def test_a_blink_has_nothing_of_the_libc(compile_c: CompileC) -> None:
    """The same program with prototypes of its own in place of every header gives the same bytes."""
    body = """
        static int led;
        static void tick(void) { gpio_toggle(led); printf("led %d\\n", gpio_get(led)); }
        void on_init(void) { led = gpio_open(2, 2); every(500, tick); }
    """
    bare = """
        int printf(const char *, ...); int gpio_open(int, int); void gpio_toggle(int); int gpio_get(int);
        int every(unsigned, void (*)(void));
    """
    image = await compile_c("#include <microclaw.h>\n" + body)
    assert image.wasm == (await compile_c(bare + body)).wasm
    assert not {i.name for i in image.imports} & {"putchar", "memset", "pow"}


OWN = {
    "strlcpy": """
        int strlcpy(char *a) { return a[0]; }
        int use(void) { return strlcpy("A"); }
    """,
    "itoa": """
        static void itoa(int n, char s[]) { s[0] = (char)n; }
        int use(void) { char s[2]; itoa(65, s); return s[0]; }
    """,
    "delay": """
        static int delay(int a, int b) { return a + b; }
        int use(void) { return delay(60, 5); }
    """,
    "delay (variable)": """
        static int delay = 65;
        int use(void) { return delay; }
    """,
    "log": """
        static int log(int n) { return n; }
        int use(void) { return log(65); }
    """,
    "millis (variable)": """
        unsigned millis[4];
        int use(void) { millis[0] = 65; return (int)millis[0]; }
    """,
    "delay (local)": """
        int use(void) { int delay = 65; return delay; }
        void wait(void) { delay(1); }
    """,
    "millis": """
        long millis(void) { return 65; }
        int use(void) { return (int)millis(); }
    """,
    "printf": """
        int printf(const char *f, ...) { return f[0]; }
        int use(void) { return printf("A%*d", 1, 2) + printf("") ; }
    """,
    "qsort": """
        void qsort(void *b, size_t n, size_t s, int (*c)(const void *, const void *)) { *(int *)b = 65; }
        int use(void) { int v = 1; qsort(&v, 1, 4, 0); return v; }
    """,
    "sin": """
        double sin(double x) { return 65 + x * 0; }
        int use(void) { volatile double x = 1; return (int)(sin(x) + cos(x) * 0); }
    """,
    "tanf": """
        float tanf(float x) { return 65; }
        int use(void) { volatile double x = 1; return (int)(tanf(1) + tan(x) * 0); }
    """,
    "strtol": """
        long strtol(const char *s, char **e, int b) { return 65; }
        int use(void) { errno = 0; return strtol("1", 0, 10); }
    """,
    "round": """
        double round(double x) { return 65; }
        int use(void) { volatile double x = 1; return (int)round(x); }
    """,
    "strcat": """
        char *strcat(char *a, const char *b) { a[0] = 65; return a; }
        int use(void) { char s[9] = ""; strcat(s, "x"); return s[0]; }
    """,
}


@pytest.mark.parametrize("name", sorted(OWN))
async def test_a_programs_own_function_of_the_name_is_the_one_that_is_called(
    compile_c: CompileC, run_image: RunImage, name: str
) -> None:
    headers = "".join(f"#include <{h}.h>\n" for h in ("microclaw", "string", "stdlib", "errno"))
    if name in ("sin", "tanf", "round"):
        headers += "#include <math.h>\n"
    source = f"{headers}{OWN[name]}\nint main(void) {{ putchar(use()); putchar(10); return 0; }}"
    assert run_image(await compile_c(source)) == ["A"]


async def test_an_assertion_that_fails_names_file_and_line(compile_c: CompileC, run_image: RunImage) -> None:
    source = '#include <assert.h>\n#include <stdio.h>\n\nint main(void) { puts("a"); assert(1 + 1 == 3); puts("b"); }'
    lines = run_image(await compile_c(source))
    said = "main.c:4: main: Assertion `1 + 1 == 3' failed."
    assert lines == ["a", said, "Got exception running WASM code: Exception: env.abort(0)"]


async def test_ndebug_leaves_assertions_out(compile_c: CompileC, run_image: RunImage) -> None:
    source = '#define NDEBUG\n#include <assert.h>\n#include <stdio.h>\nint main(void) { assert(0); puts("b"); }'
    assert run_image(await compile_c(source)) == ["b"]


async def test_errno_has_the_firmwares_error(compile_c: CompileC, run_image: RunImage) -> None:
    source = """
        #include <errno.h>
        #include <fcntl.h>
        #include <stdio.h>
        #include <string.h>
        int main(void) {
            int fd = open("/storage/none.txt", O_RDONLY);
            printf("%d %d %s\\n", fd, errno == ENOENT, strerror(errno));
            perror("none.txt");
        }
    """
    expected = ["-1 1 No such file or directory", "none.txt: No such file or directory"]
    assert run_image(await compile_c(source)) == expected


LEVELS = ("O0", "O3", "Os")


@pytest.mark.parametrize("level", LEVELS)
async def test_memory_that_there_is_not_is_null(compile_c: CompileC, run_image: RunImage, level: str) -> None:
    """Without -fno-builtin-malloc the compiler takes a malloc that only its free follows for a success."""
    source = (
        "#include <stdio.h>\n#include <stdlib.h>\nint main(void) {\n"
        ' char *p = malloc(100000); puts(p ? "got it" : "none"); free(p);\n'
        ' p = calloc(1000, 100); puts(p ? "got it" : "none"); free(p);\n'
        ' p = realloc(NULL, 100000); puts(p ? "got it" : "none"); free(p);\n'
        ' p = malloc(100); puts(p ? "got it" : "none"); free(p); return 0; }'
    )
    lines = run_image(await compile_c(source, optimization=level))
    assert [line for line in lines if "warning" not in line] == ["none", "none", "none", "got it"]
    assert len(lines) == 7  # the firmware's own warning of each


async def test_long_formats_take_ints_and_print_them(compile_c: CompileC, run_image: RunImage) -> None:
    """The `*` sends a line to our printf, the others go to the firmware's."""
    values = "u, w, s, millis(), -2L, i, kind"
    source = (
        "#include <microclaw.h>\n#include <stddef.h>\nenum kind { SOME = 8 };\nint main(void) {\n"
        " unsigned long u = 4000000000u; uint32_t w = 4000000001u, a; unsigned long b; size_t s = 7; int i = -3;\n"
        " enum kind kind = SOME;\n"
        f' printf("%lu %lu %lu %lu %d %ld %lu\\n", {values});\n'
        f' printf("%u %u %u %u %li %i %u\\n", {values});\n'
        f' printf("%*lu %lu %lu %lu %d %ld %lu\\n", 1, {values});\n'
        ' sscanf("5 6", "%lu %u", &a, &b); printf("%lx %x\\n", a, b); return 0; }'
    )
    image = await compile_c(source)
    assert image.warnings == ()
    assert run_image(image) == ["4000000000 4000000001 7 0 -2 -3 8"] * 3 + ["5 6"]


@pytest.mark.parametrize(
    "call",
    [
        'printf("%lu", 1.5)',
        'printf("%d", "x")',
        'printf("%lu")',
        'printf("%lu", 1UL, 2UL)',
        'sscanf("5", "%lu", &wide)',
    ],
)
async def test_real_mismatch_of_a_format_is_an_error(compile_c: CompileC, call: str) -> None:
    source = f"#include <stdio.h>\nint main(void) {{ int x = 0; long long wide = 0;\n {call}; return x + (int)wide; }}"
    with pytest.raises(BuildError) as refused:
        await compile_c(source)
    assert [(d.severity, d.line) for d in refused.value.diagnostics] == [("error", 3)]


async def test_more_findings_than_can_be_read_are_no_success(compile_c: CompileC) -> None:
    calls = 'printf("%lu", 1u);' * 4000
    with pytest.raises(BuildError):
        await compile_c(f'#include <stdio.h>\nint main(void) {{ {calls} printf("%d", 1.5); return 0; }}')


async def test_clocks_count_the_same_time(compile_c: CompileC, on_board: OnBoard) -> None:
    source = (
        "#include <microclaw.h>\n#include <time.h>\nint main(void) {\n"
        " unsigned long us = micros(), ms = millis(); clock_t ticks = clock(); delay(1500);\n"
        ' printf("%lu %lu %lld\\n", (micros() - us + 500) / 1000, millis() - ms,\n'
        "  (clock() - ticks) * 1000 / CLOCKS_PER_SEC); return 0; }"
    )
    assert (await on_board.run(await compile_c(source), 3000)).own == ["1500 1500 1500"]
