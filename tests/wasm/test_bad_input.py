"""What no well-meaning program holds: compiler bombs, odd bytes, names of ours."""

from __future__ import annotations

from typing import Any

import pytest

from microclaw.errors import BuildError

REFUSED = {
    "includes_itself_by_name": '#include "main.c"\nint main(void) { return 0; }',
    "vertical_tab": "int main(void) { return 0; } //\v",
    "next_line": "int main(void) { return 0; } //\x85",
    "line_separator": "int main(void) { return 0; } // \u2028 x",
    "paragraph_separator": "int main(void) { return 0; } // \u2029 x",
    "no_utf_8": 'int main(void) { return "\udcff"[0]; }',
    "a_megabyte": "int main(void) { return 0; }\n" + "int x;\n" * (1 << 18),
    "empty": " \n",
    "name_of_the_shim": "int __microclaw_shim;\nint main(void) { return 0; }",
    "name_of_the_libc": "int microclaw_printf(void) { return 1; }\nint main(void) { return 0; }",
    "deep_parentheses": f"int main(void) {{ return {'(' * 5000}1{')' * 5000}; }}",
    "main_is_a_variable": "int main = 3;",
    "array_of_the_whole_address_space": "char a[0xfffffff0u];\nint main(void) { return a[5]; }",
    "vla_bomb": "int f(int);\nint main(void) { char a[f(1)][1 << 30]; return f(sizeof a) + a[0][1]; }",
}


@pytest.mark.parametrize("name", REFUSED)
async def test_bad_source_is_refused_with_a_next_step(compile_c: Any, name: str) -> None:
    with pytest.raises(BuildError) as caught:
        await compile_c(REFUSED[name])
    found = caught.value.diagnostics[0]
    assert found.hint, "it says what to do"
    assert len(found.render()) < 2000, "a whole program on one line is not shown whole"


async def test_macros_of_macros_end_with_an_error_that_names_no_file_of_the_host(compile_c: Any) -> None:
    layers = "".join(f"#define A{n + 1}(x) A{n}(A{n}(x)) + A{n}(x)\n" for n in range(12))
    with pytest.raises(BuildError) as caught:
        await compile_c(f"#define A0(x) (x + x)\n{layers}int main(void) {{ return A12(1); }}")
    text = "\n".join(d.render() for d in caught.value.diagnostics)
    assert "/tmp" not in text
    assert "/dev/shm" not in text
