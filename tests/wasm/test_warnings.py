"""Programs that certainly hang are warned of, and no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from microclaw.errors import BuildError

HEAD = "#include <microclaw.h>\n#include <stdlib.h>\n#include <unistd.h>\nvolatile int v;\n"
PROGRAMS = Path(__file__).parents[1] / "vectors" / "programs"
HANGS = {
    "empty_loop": ("int main(void) { for (;;) { } }", 5),
    "loop_that_works": ("int main(void) {\n while (1) { v++; gpio_set(3, v & 1); } }", 6),
    "waits_by_counting": ("int main(void) {\n while (true) { for (int i = 0; i < 9999; i++) { v = i; } } }", 6),
    "looks_at_the_clock": (
        "int main(void) {\n unsigned t = 0;\n while (1) { if (millis() - t > 9) t = millis(); } }",
        7,
    ),
    "behind_a_sleep": ("int main(void) { sleep(1);\n for (;;) { v++; } }", 6),
    "in_a_function": ("static void spin(void) {\n while (1) v++; }\nint main(void) { spin(); }", 6),
    "in_on_init": ("void on_init(void) {\n while (1) v++; }", 6),
    "sleep_of_its_own_that_only_counts": (
        "static void nap(void) { for (int i = 0; i < 99; i++) v = i; }\nint main(void) {\n while (1) nap(); }",
        7,
    ),
}
FINE = {
    "sleeps": "int main(void) { while (1) { v++; sleep(1); } }",
    "sleeps_below": "static void nap(void) { delay(5); }\nint main(void) { for (;;) { nap(); } }",
    "sleeps_sometimes": "int main(void) { for (;;) { if (v) usleep(10); } }",
    "is_left": "int main(void) { while (1) { if (v++ > 5) break; } return 0; }",
    "returns": "int main(void) { while (1) { if (v++ > 5) return 1; } }",
    "exits": "int main(void) { while (1) { if (v++ > 5) exit(1); } }",
    "waits_for_a_variable": "int main(void) { while (v) { } return 0; }",
    "may_sleep_behind_a_pointer": "void (*volatile task)(void);\nint main(void) { while (1) { task(); } }",
    "inner_loop_leaves_both": "int main(void) { while (1) { while (v) { if (v == 7) return 0; } v++; } }",
    "recursion_with_an_end": "static int f(int n);\nstatic int g(int n) { return n ? f(n - 1) + v : 0; }\n"
    "static int f(int n) { return n ? g(n - 1) + v : 1; }\nint main(void) { return f(9); }",
}


@pytest.mark.parametrize("level", ["O0", "O3"])
@pytest.mark.parametrize("name", HANGS)
async def test_endless_loop_without_sleep_is_warned_of_at_its_line(compile_c: Any, name: str, level: str) -> None:
    source, line = HANGS[name]
    image = await compile_c(HEAD + source, optimization=level)
    found = [w for w in image.warnings if "never sleeps" in w.message]
    assert {w.line for w in found} == {line}
    assert all(w.hint and w.explanation for w in found)


@pytest.mark.parametrize("level", ["O0", "O3"])
@pytest.mark.parametrize("name", FINE)
async def test_loop_that_ends_or_sleeps_is_not_warned_of(compile_c: Any, name: str, level: str) -> None:
    assert (await compile_c(HEAD + FINE[name], optimization=level)).warnings == ()


async def test_functions_that_only_call_each_other_are_warned_of(compile_c: Any) -> None:
    source = (
        f"{HEAD}int g(int n);\n__attribute__((noinline)) int f(int n) {{ v++; return g(n + 1) + 1; }}\n"
        "__attribute__((noinline)) int g(int n) { v++; return f(n) + 2; }\nint main(void) { return f(1); }\n"
    )
    messages = [w.message for w in (await compile_c(source)).warnings]
    assert "f calls itself without end" in messages or "g calls itself without end" in messages


async def test_none_of_the_natural_programs_is_said_to_hang(compile_c: Any) -> None:
    for path in sorted(PROGRAMS.glob("*.c")):
        image = await compile_c(path.read_text(), name=path.stem)
        assert [w.message for w in image.warnings if "ever" in w.message or "without end" in w.message] == [], path.name


LARGE_FRAME = f"{HEAD}int main(void) {{ char a[5000]; read(0, a, 5000); v = a[v]; return v; }}"


async def test_frame_larger_than_the_stack_is_an_error(compile_c: Any) -> None:
    with pytest.raises(BuildError, match=r"stack frame size .* exceeds limit"):
        await compile_c(LARGE_FRAME)


async def test_frame_that_fits_the_stack_asked_for_is_fine(compile_c: Any) -> None:
    assert (await compile_c(LARGE_FRAME, stack_bytes=8192)).memory.stack_bytes == 8192
