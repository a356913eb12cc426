"""C++'s own headers: of libc++, which comes with the compiler, without its compiled part; only where a program asks."""

from __future__ import annotations

from typing import Any

import pytest

from microclaw.apps.trial import TrialOptions, try_image
from microclaw.boards.profile import BoardProfile
from microclaw.errors import BuildError
from microclaw.wasm import find_toolchain
from microclaw.wasm.source_language import STANDARD_HEADERS

SORTED = """#include <algorithm>
#include <vector>
struct Key { int at; };
int main() {
    std::vector<Key> keys{{2}, {1}};
    std::sort(keys.begin(), keys.end());
    return keys[0].at;
}
"""


async def test_every_header_compiles_and_links(compile_c: Any) -> None:
    includes = "".join(f"#include <{header}>\n" for header in sorted(STANDARD_HEADERS))
    image = await compile_c(f"{includes}int main() {{ return 0; }}\n", language="c++")
    assert image.warnings == ()


@pytest.mark.parametrize(
    ("trick", "error"),
    [
        ('#if !GLUE(__has_, include)("program.cpp")\n#error nothing found\n#endif\n', "nothing found"),
        ('GLUE(_Pra, gma)("GCC error \\"reached\\"")\n', "type specifier"),
        ('int GLUE(__as, m__)("nop");\n', "cannot initialize a variable"),
    ],
)
async def test_walls_stand_behind_them_too(compile_c: Any, trick: str, error: str) -> None:
    source = f"#include <vector>\n#define GLUE(a, b) a##b\n{trick}int main() {{ return 0; }}\n"
    with pytest.raises(BuildError) as caught:
        await compile_c(source, name="program", language="c++")
    text = str([found.render() for found in caught.value.diagnostics])
    assert error in text
    assert "error: reached" not in text


async def test_what_an_algorithm_lacks_is_told_at_the_line_of_its_call(compile_c: Any) -> None:
    with pytest.raises(BuildError) as caught:
        await compile_c(SORTED, language="c++")
    (found,) = caught.value.diagnostics
    assert (found.line, found.file) == (6, "main.cpp")


HEAD = "#include <array>\n#include <optional>\n#include <string>\n#include <vector>\nint main() {\n"


@pytest.mark.parametrize(
    ("body", "line", "what"),
    [
        ("std::vector<int> v{1, 2};\nreturn v.at(5);", 7, "vector"),
        ("std::vector<int> v;\nreturn v.front();", 7, "front() called on an empty vector"),
        ("std::optional<int> none;\nreturn *none;", 7, "operator*"),
        ("std::array<int, 3> a{};\nvolatile int at = 3;\nreturn a[at];", 8, "out-of-bounds"),
        ('return std::stoi("x");', 6, "no number in"),
    ],
)
async def test_failed_check_names_the_programs_line(
    compile_c: Any, board: BoardProfile, body: str, line: int, what: str
) -> None:
    image = await compile_c(f"{HEAD}{body}\n}}\n", language="c++")
    trial = await try_image(image, board, TrialOptions(for_ms=500))
    assert not trial.ok
    assert f"line {line}, in main" in (trial.error or "")
    assert what in (trial.error or "")


async def test_older_clang_is_told_as_the_reason(compile_c: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROCLAW_COMPILER", "clang")
    if find_toolchain().libcxx is not None:
        image = await compile_c("#include <array>\nint main() { return 0; }\n", language="c++")
        assert image.compiler.startswith("clang")
        return
    with pytest.raises(BuildError) as caught:
        await compile_c("// a program\n#include <array>\nint main() { return 0; }\n", language="c++")
    (found,) = caught.value.diagnostics
    assert found.line == 2
