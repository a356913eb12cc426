"""printf as WAMR does it: a table of formats, compiled by clang so that the varargs are the real ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.virtual.natives.conftest import CBench

from microclaw.virtual.natives.printf import MAX_TEXT_BYTES

TABLE = Path(__file__).parents[2] / "vectors" / "natives" / "printf.tsv"


def test_printf_prints_what_the_firmware_prints(bench: CBench) -> None:
    """Each row has the arguments of a printf and what the console shows."""
    rows = [line.split("\t") for line in TABLE.read_text(encoding="utf-8").splitlines()[1:]]
    calls = "\n".join(f"printf({arguments}); putchar(10);" for arguments, _ in rows)
    bench.run(f"void on_init(void) {{ {calls} }}")
    assert list(zip((arguments for arguments, _ in rows), bench.lines(), strict=True)) == [tuple(row) for row in rows]


def test_snprintf_cuts_and_answers_the_full_length(bench: CBench) -> None:
    bench.run(
        """void on_init(void) { char b[8] = "xxxxxxx"; int n = snprintf(b, 6, "%s", "truncated");
        printf("%s %d\\n", b, n);
        n = snprintf(b, 0, "%d", 12345); printf("%s %d\\n", b, n); n = sprintf(b, "%02d:%02d", 7, 5);
        printf("%s %d\\n", b, n); }"""
    )
    assert bench.lines() == ["trunc 9", "trunc 5", "07:05 5"]


@pytest.mark.parametrize(
    "body", ['printf("%s", (char *)0x7fffffff)', 'vprintf("%d%d", (char *)(__builtin_wasm_memory_size(0) * 65536 - 4))']
)
def test_strings_and_arguments_outside_of_memory_trap(bench: CBench, body: str) -> None:
    app = bench.run(f"int vprintf(const char *, char *); void on_init(void) {{ {body}; }}")
    assert app.status.error == "Exception: out of bounds memory access"
    assert bench.lines() == ["Got exception running WASM code: Exception: out of bounds memory access"]


def test_widths_cannot_make_endless_text(bench: CBench) -> None:
    app = bench.run(
        """int vsnprintf(char *, size_t, const char *, void *); static char f[601]; static const char *none[100];
        void on_init(void) { for (int i = 0; i < 600; i++) f[i] = "%9999s"[i % 6];
        for (int i = 0; i < 100; i++) none[i] = "";
        printf("%d\\n", vsnprintf(f, 0, f, none)); }"""
    )
    assert (bench.lines(), app.status.error) == ([str(MAX_TEXT_BYTES)], None)
