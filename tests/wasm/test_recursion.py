"""A recursion that takes minutes keeps no board busy: it ends with its line, in a callback and in main."""

# ruff: noqa: E501 - a program a line is easier to read

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from microclaw.wasm import find_toolchain
from microclaw.wasm.recursion import recursive_functions
from microclaw.wasm.symbols import read_symbols, source_name

HEAD = "#include <microclaw.h>\n#include <stdlib.h>\nvolatile unsigned c, w = 7;\n#define APART __attribute__((noinline))\n"
DIRECT = "APART static unsigned busy(unsigned d) { c++; return d ? busy(d - 1) ^ busy(d - 1) : c; }\n"
MUTUAL = (
    "static unsigned odd(unsigned d);\n"
    "APART static unsigned busy(unsigned d) { c++; return d ? odd(d - 1) ^ odd(d - 1) : c; }\n"
    "APART static unsigned odd(unsigned d) { c += 2; return d ? busy(d - 1) ^ busy(d - 1) : c; }\n"
)
POINTER = (
    "static unsigned busy(unsigned d);\nunsigned (*volatile next)(unsigned) = busy;\n"
    "APART static unsigned busy(unsigned d) { c++; return d ? next(d - 1) ^ next(d - 1) : c; }\n"
)
KINDS = {"direct": DIRECT, "mutual": MUTUAL, "through a pointer": POINTER}
TASK = "static void task(void) { c = busy(45); }\n"


def _recursive(source: str, folder: Path, level: str) -> list[str]:
    (folder / "a.c").write_text(HEAD + source)
    subprocess.run(find_toolchain().compile_command("a.c", level, ()), cwd=folder, check=True, capture_output=True)
    symbols = read_symbols((folder / "program.o").read_bytes())
    return sorted(source_name(symbols.names[index]) for index in recursive_functions(symbols))


@pytest.mark.parametrize("level", ["O0", "Os", "O3"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_function_of_a_cycle_is_guarded(kind: str, level: str, tmp_path: Path) -> None:
    found = _recursive(f"{KINDS[kind]}{TASK}void on_init(void) {{ every(100, task); }}\n", tmp_path, level)
    assert found == (["busy", "odd"] if kind == "mutual" else ["busy"])


def test_calls_without_a_cycle_are_not_guarded(tmp_path: Path) -> None:
    source = (
        "APART static unsigned f(unsigned d) { return d * c; }\nAPART static unsigned g(unsigned d) { return f(d) + 1; }\n"
        "static int by_size(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }\n"
        "int table[9];\n"
        "static void task(void) { qsort(table, 9, sizeof table[0], by_size); c = g(c) + f(c); }\n"
        "void on_init(void) { every(100, task); }\n"
    )
    assert _recursive(source, tmp_path, "O0") == []


ENTRIES = {
    "callback": "void on_init(void) {{ after({ms}, task); every(100, tick); }}",
    "callback beside a main that waits": "int main(void) {{ after({ms}, task); every(100, tick); for (;;) delay(500); }}",
    "main that waits": "int main(void) {{ every(100, tick); delay({ms}); task(); return 0; }}",
}


@pytest.mark.parametrize(
    ("kind", "entry"),
    [("direct", "main that waits"), ("mutual", "callback"), ("through a pointer", "callback beside a main that waits")],
)
async def test_recursion_that_begins_late_ends_with_its_line(
    kind: str, entry: str, compile_c: Any, on_board: Any
) -> None:
    tick = 'static void tick(void) { printf("tick\\n"); }\n'
    image = await compile_c(f"{HEAD}{KINDS[kind]}{TASK}{tick}{ENTRIES[entry].format(ms=20_000)}\n")
    ran = await on_board.run(image, 90_000)
    first = len(HEAD.splitlines()) + 1
    lines = {"direct": (first,), "mutual": (first + 1, first + 2), "through a pointer": (first + 2,)}[kind]
    assert ran.shim in [[f"line {line}: this recursion ran 30 s without end"] for line in lines]
    end = ran.all.index(f"microclaw: {ran.shim[0]}")
    assert "tick" in ran.all[:end]
    assert "tick" not in ran.all[end:]


COMPUTES = """
static unsigned fib(unsigned n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
static unsigned ack(unsigned m, unsigned n) { return m == 0 ? n + 1 : n == 0 ? ack(m - 1, 1) : ack(m - 1, ack(m, n - 1)); }
static int is_odd(unsigned n);
static int is_even(unsigned n) { return n == 0 ? 1 : is_odd(n - 1); }
static int is_odd(unsigned n) { return n == 0 ? 0 : is_even(n - 1); }
static void sort(int *a, int n) { if (n < 2) return; int p = a[n / 2], i = 0, j = n - 1;
 for (;;) { while (a[i] < p) i++; while (a[j] > p) j--; if (i >= j) break; int t = a[i]; a[i++] = a[j]; a[j--] = t; }
 sort(a, i); sort(a + i, n - i); }
int main(void) { int a[] = {5, 3, 9, 1, 7, 2}; sort(a, 6);
 printf("%u %u %d", fib(w + 8), ack(2, w), is_even(w));
 for (int i = 0; i < 6; i++) printf(" %d", a[i]); printf("\\n"); %s return 0; }
"""


@pytest.mark.parametrize("level", ["O0", "O3"])
@pytest.mark.parametrize("more", ["", "delay(1);"])
async def test_guarded_recursion_computes_the_same(level: str, more: str, compile_c: Any, on_board: Any) -> None:
    image = await compile_c(HEAD + COMPUTES.replace("%s", more, 1), optimization=level)
    assert (await on_board.run(image, 1000)).own == ["610 17 0 1 2 3 5 7 9"]
