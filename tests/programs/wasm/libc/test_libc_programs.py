"""Programs against native transcripts (d*: they check themselves), the libc's cost, a program's own functions."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.programs.wasm.conftest import CompileC
from tests.programs.wasm.libc.conftest import RunC

VECTORS = Path(__file__).parents[3] / "vectors" / "libc"
NAMES = sorted(path.stem for path in VECTORS.glob("*.c"))
OTHERWISE = [("g22_percent_and_stars", "zig", "Os"), ("g07_trigonometry", "clang", "O3")]


@pytest.mark.parametrize(("name", "compiler", "level"), [*((name, "zig", "O3") for name in NAMES), *OTHERWISE])
async def test_program_prints_what_a_native_build_prints(
    run_c: RunC, monkeypatch: pytest.MonkeyPatch, name: str, compiler: str, level: str
) -> None:
    monkeypatch.setenv("MICROCLAW_COMPILER", compiler)
    lines = await run_c((VECTORS / f"{name}.c").read_text(), optimization=level)
    assert lines == (VECTORS / f"{name}.expected").read_text().splitlines()


FULL = {
    **{'"%*d", 5, 1': "    1", '"%.*f", 2, 1.5': "1.50", '"%64d", 1': f"{1:64}"},
    **{'"%a", 1.0': "0x1p+0", '"%d%n", 1, &n': "1"},
    **{'n ? "a%*d" : "b%*d", 3, n': "b  0", '"%.60f", 1.5': f"{1.5:.60f}", '"%100s", "x"': f"{'x':>100}"},
    **{'"\\x25*d", 5, 1': "    1", '"%\\52d", 5, 1': "    1", '"%%%*d", 5, 1': "%    1", "text, 3, 1": "  1"},
    **{'"%" PRIu64, 1ull': "1", 'u8"%*d", 3, 1': "  1"},
}  # fmt: skip


def printing(*calls: str) -> str:
    prints = " ".join(f"printf({call});" for call in calls)
    return f'#include <stdio.h>\nchar text[] = "%*d";\nint main(void) {{ static int n; {prints} return n * 0; }}\n'


async def test_what_the_firmware_cannot_print_is_printed_by_ours(run_c: RunC) -> None:
    prints = printing(*FULL).replace("); printf", "); putchar(10); n = 0; printf")
    assert await run_c(f"#include <inttypes.h>\n{prints}") == list(FULL.values())


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
    "printf": ("int printf(const char *f, ...) { return f[0]; }", 'printf("A%*d", 1, 2) + printf("")'),
    "qsort": (
        "void qsort(void *b, size_t n, size_t s, int (*c)(const void *, const void *)) { *(int *)b = 65; }",
        "({ int v = 1; qsort(&v, 1, 4, 0); v; })",
    ),
    "strtol": ("long strtol(const char *s, char **e, int b) { return 65; }", '(errno = 0, strtol("1", 0, 10))'),
}  # fmt: skip


@pytest.mark.parametrize("name", OWN)
async def test_a_programs_own_function_of_the_name_is_the_one_that_is_called(run_c: RunC, name: str) -> None:
    headers = ("microclaw", "string", "stdlib", "errno", *(["math"] if name == "tanf" else []))
    own, use = OWN[name]
    head = "".join(f"#include <{header}.h>\n" for header in headers)
    assert await run_c(f"{head}{own}\nint main(void) {{ putchar({use}); putchar(10); return 0; }}") == ["A"]


@pytest.mark.parametrize("level", ["O0", "O3"])
async def test_memory_that_there_is_not_is_null(run_c: RunC, level: str) -> None:
    """Without -fno-builtin-malloc the compiler takes a malloc that only its free follows for a success."""
    tries = ("malloc(100000)", "calloc(1000, 100)", "realloc(NULL, 100000)", "malloc(100)")
    body = "".join(f' p = {call}; puts(p ? "got it" : "none"); free(p);\n' for call in tries)
    source = f"#include <stdio.h>\n#include <stdlib.h>\nint main(void) {{ char *p;\n{body} return 0; }}"
    lines = await run_c(source, optimization=level)
    assert [line for line in lines if "warning" not in line] == ["none", "none", "none", "got it"]
    assert len(lines) == 7  # the firmware's own warning of each


async def test_micros_wraps_as_an_unsigned_long(run_c: RunC) -> None:
    source = '#include <microclaw.h>\n#include <stdio.h>\nvoid on_init(void) { printf("%lu\\n", micros()); }'
    (line,) = await run_c(source, up_ms=5_000_000)
    assert 0 <= int(line) - 5_000_000_000 % 2**32 < 10_000
