"""Undefined behaviour ends a program where it happens, with its line, in the trial as on the device."""

from __future__ import annotations

from typing import Any

import pytest

from microclaw.apps.trial import TrialOptions, try_image
from microclaw.boards.profile import BoardProfile

HEAD = "#include <microclaw.h>\n#include <stdlib.h>\nvolatile int n = 4;\nint table[4] = {1, 2, 3, 4};\n"
FAULTS = {
    "global array": (
        "int main(void) {\n int s = 0;\n for (int i = 0; i <= n; i++)\n  s += table[i];\n printf(\"%d\", s);\n}",
        8, "index 4 is outside 'int[4]'",
    ),
    "local array": (
        "int main(void) {\n char name[8];\n for (int i = 0; i < n + 6; i++)\n  name[i] = (char)i;\n"
        ' printf("%d", name[n]);\n}',
        8, "index 8 is outside 'char[8]'",
    ),
    "negative index": ("int main(void) {\n printf(\"%d\", table[n - 5]);\n}", 6, "index -1 is outside 'int[4]'"),
    "index of 64 bits": (
        "int main(void) {\n long long at = n;\n printf(\"%d\", table[at + 3]);\n}", 7, "index 7 is outside 'int[4]'"
    ),
    "second dimension": (
        "int grid[3][5];\nint main(void) {\n printf(\"%d\", grid[1][n + 1]);\n}", 7, "index 5 is outside 'int[5]'"
    ),
    "shift": ("int main(void) {\n printf(\"%d\", 1 << (n + 40));\n}", 6, "a shift by 44 of 'int'"),
    "division": ("int main(void) {\n printf(\"%d\", 7 / (n - 4));\n}", 6, "a division by 0 of 'int'"),
    "null": (
        "int x;\nstatic int *find(int k) { return k > 9 ? &x : 0; }\nint main(void) {\n int *p = find(n);\n *p = 3;\n}",
        9, "a null pointer is used",
    ),
    "after a sleep": (
        "int main(void) {\n for (;;) {\n  table[n++] = 1;\n  delay(100);\n }\n}", 7, "index 4 is outside 'int[4]'"
    ),
    "in a task": (
        "static void task(void) {\n table[n++] = 1; }\nvoid on_init(void) { every(100, task); }",
        6, "index 4 is outside 'int[4]'",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "level"), [*((name, "Os") for name in FAULTS), ("null", "O0"), ("local array", "O3")])
async def test_fault_is_named_with_its_line(compile_c: Any, board: BoardProfile, name: str, level: str) -> None:
    source, line, what = FAULTS[name]
    trial = await try_image(await compile_c(HEAD + source, optimization=level), board, TrialOptions(for_ms=1000))
    assert not trial.ok
    assert trial.error == f"it trapped at line {line}: {what}"
    assert (trial.next_step or "").startswith(f"correct line {line}, column ")


async def test_second_compiler_names_it_too(
    compile_c: Any, board: BoardProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MICROCLAW_COMPILER", "clang")
    source, line, what = FAULTS["local array"]
    image = await compile_c(HEAD + source)
    monkeypatch.delenv("MICROCLAW_COMPILER")
    trial = await try_image(image, board, TrialOptions(for_ms=1000))
    assert trial.error == f"it trapped at line {line}: {what}"


async def test_what_is_defined_runs_on(compile_c: Any, board: BoardProfile) -> None:
    """Unsigned numbers wrap, an index may be the last one, a shift may be by 31."""
    source = (
        "int main(void) {\n unsigned h = 5381;\n for (int i = 0; i < 100; i++) h = h * 33 + (unsigned)table[i % n];\n"
        ' printf("%u %u %d\\n", h, 1u << 31, table[3]);\n}'
    )
    trial = await try_image(await compile_c(HEAD + source), board, TrialOptions(for_ms=1000))
    assert trial.ok
    assert trial.log[0].endswith(" 2147483648 4")


async def test_program_that_cannot_fault_keeps_its_bytes(compile_c: Any) -> None:
    image = await compile_c('#include <stdio.h>\nint main(void) { puts("hello"); return 0; }')
    assert b"outside" not in image.wasm
