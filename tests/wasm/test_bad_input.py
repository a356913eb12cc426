"""What no well-meaning program holds: compiler bombs, odd bytes, names of ours, sleeps of any length."""

from __future__ import annotations

from typing import Any

import pytest

from microclaw.errors import BuildError

HEAD = "#include <stdio.h>\n#include <unistd.h>\n"
REFUSED = {
    "includes_itself_by_macro": ("#include __FILE__\nint main(void) { return 0; }", "#include needs the name"),
    "includes_itself_by_name": ('#include "main.c"\nint main(void) { return 0; }', "there is no header 'main.c'"),
    "nul": ("int main(void) { return 0; }\0", "a control character (0x00)"),
    "vertical_tab": ("int main(void) { return 0; } //\v", "a control character (0x0b)"),
    "form_feed": ("int main(void) { return 0; }\f", "a control character (0x0c)"),
    "next_line": ("int main(void) { return 0; } //\x85", "a control character (0x85)"),
    "line_separator": ("int main(void) { return 0; } // \u2028 x", "a line separator (U+2028)"),
    "paragraph_separator": ("int main(void) { return 0; } // \u2029 x", "a paragraph separator (U+2029)"),
    "no_utf_8": ('int main(void) { return "\udcff"[0]; }', "not valid UTF-8 at character 25"),
    "a_megabyte": ("int main(void) { return 0; }\n" + "int x;\n" * (1 << 18), "more than the limit of 262144"),
    "empty": (" \n", "the source is empty"),
    "name_of_the_shim": ("int __microclaw_shim;\nint main(void) { return 0; }", "microclaw's own"),
    "name_of_the_libc": ("int microclaw_printf(void) { return 1; }\nint main(void) { return 0; }", "microclaw's own"),
    "deep_parentheses": (f"int main(void) {{ return {'(' * 5000}1{')' * 5000}; }}", "nesting level exceeded"),
    "half_a_comment": ("int main(void) { return 0; } /* ", "a comment that does not end"),
    "main_is_a_variable": ("int main = 3;", "the firmware never calls main by itself"),
    "array_of_the_whole_address_space": ("char a[0xfffffff0u];\nint main(void) { return a[5]; }", "the compiler"),
    "vla_bomb": ("int f(int);\nint main(void) { char a[f(1)][1 << 30]; return f(sizeof a) + a[0][1]; }", ""),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_bad_source_is_refused_with_a_next_step(compile_c: Any, name: str) -> None:
    source, message = REFUSED[name]
    with pytest.raises(BuildError) as caught:
        await compile_c(source)
    found = caught.value.diagnostics[0]
    assert message in found.message
    assert found.hint, "it says what to do"
    assert len(found.render()) < 2000, "a whole program on one line is not shown whole"


async def test_macros_of_macros_end_with_an_error_that_names_no_file_of_the_host(compile_c: Any) -> None:
    layers = "".join(f"#define A{n + 1}(x) A{n}(A{n}(x)) + A{n}(x)\n" for n in range(12))
    with pytest.raises(BuildError) as caught:
        await compile_c(f"#define A0(x) (x + x)\n{layers}int main(void) {{ return A12(1); }}")
    text = "\n".join(d.render() for d in caught.value.diagnostics)
    assert "the compiler" in text
    assert "/tmp" not in text
    assert "/dev/shm" not in text


RUNS = {
    "own_printf_wins": (
        "#include <stdarg.h>\nint puts(const char *s);\nint printf(const char *f, ...) { return puts(f); }\n"
        'int main(void) { printf("mine"); return 0; }',
        ["mine"],
    ),
    "own_sleep_wins_and_needs_no_pass": (
        f"{HEAD}unsigned sleep(unsigned s) {{ return s + 1; }}\n"
        'int main(void) { printf("%u\\n", sleep(5)); printf("%u\\n", sleep(6)); return 0; }',
        ["6", "7"],
    ),
    "negative_sleep_is_a_very_long_one": (
        f'{HEAD}int main(void) {{ int s = -1; puts("before"); sleep(s); puts("after"); return 0; }}',
        ["before"],
    ),
    "huge_sleep_does_not_overflow": (
        f'{HEAD}int main(void) {{ puts("before"); sleep(2147484); puts("after"); return 0; }}',
        ["before"],
    ),
    "sleep_of_nothing_goes_on": (
        f'{HEAD}int main(void) {{ sleep(0); usleep(0); puts("after"); return 0; }}',
        ["after"],
    ),
    "macro_names_of_c_are_left_alone": (
        f'{HEAD}#define sleep_ms(x) usleep((x) * 1000)\nint main(void) {{ sleep_ms(5); puts("done"); return 0; }}',
        ["done"],
    ),
}


@pytest.mark.parametrize("name", RUNS)
async def test_odd_program_does_what_it_says(compile_c: Any, on_board: Any, name: str) -> None:
    source, printed = RUNS[name]
    ran = await on_board.run(await compile_c(source, name=name[:20]), 20_000)
    assert ran.own == printed


async def test_200_nested_calls_before_a_sleep_are_told_and_nothing_is_corrupted(compile_c: Any, on_board: Any) -> None:
    source = (
        f"{HEAD}static int canary = 4711;\n"
        "static __attribute__((noinline)) int down(int n) { volatile int here = n; if (n) here += down(n - 1); "
        "else sleep(1); return here; }\n"
        'int main(void) { printf("%d\\n", canary); printf("%d %d\\n", down(200), canary); return 0; }'
    )
    ran = await on_board.run(await compile_c(source, name="deep"), 10_000)
    assert ran.own == ["4711"]
    assert len(ran.shim) == 1
    assert ran.shim[0].startswith("ended:")
