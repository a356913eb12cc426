"""Bombs and odd bytes are refused, and nothing that only looks like a fault. Mistakes: tests/vectors/broken."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from microclaw.errors import BuildError
from microclaw.programs.wasm.name_advice import declared_names
from microclaw.programs.wasm.refusals import refused_name
from microclaw.programs.wasm.source_scanner import header_names

LAYERS = "".join(f"#define A{n + 1}(x) A{n}(A{n}(x)) + A{n}(x)\n" for n in range(12))
TABLES = "".join(f"#define A{n} " + ",".join([f"A{n - 1}" if n else "0"] * 10) + "\n" for n in range(8))
MAIN = "int main(void) { return 0; }"
BOMBS = {
    "vertical tab": f"{MAIN} //\v",
    "paragraph separator": f"{MAIN} // \u2029 x",
    "no UTF-8": 'int main(void) { return "\udcff"[0]; }',
    "a megabyte": f"{MAIN}\n" + "int x;\n" * (1 << 18),
    "empty": " \n",
    "deep parentheses": f"int main(void) {{ return {'(' * 5000}1{')' * 5000}; }}",
    "array of the whole address space": "char a[0xfffffff0u];\nint main(void) { return a[5]; }",
    "huge object": "char big[1 << 28] = {1};\nvoid on_init(void) { big[2]++; }\n",
    "macros of macros": f"#define A0(x) (x + x)\n{LAYERS}int main(void) {{ return A12(1); }}",
    "tens of thousands of broken lines": "foo bar baz;\n" * 18_000,
}
if sys.platform == "linux":  # rlimits are set from outside, which only Linux can
    BOMBS["table of macros that fills the memory"] = f"{TABLES}int a[] = {{A7}};\nint main(void) {{ return a[3]; }}"


@pytest.mark.parametrize("name", BOMBS)
async def test_bombs_and_odd_bytes_are_refused_in_few_words(compile_c: Any, name: str) -> None:
    with pytest.raises(BuildError) as caught:
        await compile_c(BOMBS[name])
    said = [found.render() for found in caught.value.diagnostics]
    assert len(said) == 1 or name == "tens of thousands of broken lines"
    assert len(said[0]) < 2000, "a whole program on one line is not shown whole"
    assert not [text for text in said if "/tmp" in text or "/dev/shm" in text], "no file of the host is named"


BRACKETS = {
    "20 KB of calls": "a(" * 10_000,
    "256 KB of calls": "a(" * 131_000,
    "blocks": "void f(int a[3]) { if (a) {\n" * 9000,
    "closed": "void f(int a[3]) { g((a)[1], {2}); }\n" * 7000,
}


@pytest.mark.parametrize("name", BRACKETS)
async def test_a_broken_text_of_brackets_is_refused_without_holding_a_core(compile_c: Any, name: str) -> None:
    with pytest.raises(BuildError) as caught:
        await compile_c(BRACKETS[name], language="sketch")
    assert not [found for found in caught.value.diagnostics if "was stopped" in found.message]


def test_nothing_of_ours_is_refused() -> None:
    """Its headers, and what they declare but where the header that has it is offered."""
    headers = [refusal for name in header_names() if (refusal := refused_name(name, headers=True)) is not None]
    assert [refusal for refusal in headers if not refusal.by_pattern] == []
    both = {name: header for name, header in declared_names().items() if (r := refused_name(name)) and not r.by_pattern}
    assert set(both.values()) <= {"Arduino.h", "esp_log.h", "microclaw.h"}
