"""C++ programs: constructors run once, polling loops in methods give way, names in errors are the source's."""

from __future__ import annotations

from typing import Any

import pytest

from microclaw.builds.process import Processes
from microclaw.errors import BuildError
from microclaw.wasm.symbols import read_symbols
from microclaw.wasm.toolchain import HEADERS, find_toolchain


def test_our_own_objects_have_no_constructors(tmp_path: Any) -> None:
    toolchain = find_toolchain()
    files = sorted((HEADERS / "arduino").glob("*.cpp"))
    assert files
    assert Processes().run(toolchain.glue_command(files), tmp_path).returncode == 0
    made = {path.stem: read_symbols(path.read_bytes()) for path in tmp_path.glob("*.o")}
    assert {name for name, symbols in made.items() if symbols.has_constructors} == set()


# C++'s own headers: of libc++, which comes with the compiler, without its compiled part


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
    source = "#include <algorithm>\n#include <vector>\nstruct Key { int at; };\nint main() {\n"
    source += " std::vector<Key> keys{{2}, {1}};\n std::sort(keys.begin(), keys.end());\n return keys[0].at;\n}\n"
    with pytest.raises(BuildError) as caught:
        await compile_c(source, language="c++")
    (found,) = caught.value.diagnostics
    assert (found.line, found.file) == (6, "main.cpp")
