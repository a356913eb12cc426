"""C++ programs: constructors run once, polling loops in methods give way, names in errors are the source's."""

from __future__ import annotations

from typing import Any

import pytest

from microclaw.apps.trial import TrialOptions, try_image
from microclaw.apps.trial_plan import parse_input
from microclaw.boards.profile import BoardProfile
from microclaw.builds.process import Processes
from microclaw.errors import BuildError
from microclaw.wasm.source_language import STANDARD_HEADERS
from microclaw.wasm.symbols import read_symbols
from microclaw.wasm.toolchain import HEADERS, find_toolchain


@pytest.fixture(params=["zig", "clang"])
def compiler(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MICROCLAW_COMPILER", request.param)
    return str(request.param)


COUNTED = """
#include <microclaw.h>
static int made;
struct Counter { Counter() { made++; printf("made %d\\n", made); } int value = 5; } counter;
"""
SLEEPS = 'int main() { for (int i = 0; i < 4; i++) { printf("%d\\n", counter.value + i); delay(100); } return 0; }\n'
TASKS = """
static void task() { printf("task %d\\n", counter.value); }
int main() { every(100, task); return 0; }
"""
WAITING_CONSTRUCTOR = """
#include <microclaw.h>
struct Slow { Slow() { printf("a\\n"); delay(50); printf("b\\n"); } } slow;
int main() { printf("c\\n"); delay(50); printf("d\\n"); return 0; }
"""


@pytest.mark.parametrize(
    ("source", "printed"),
    [
        (COUNTED + SLEEPS, ["made 1", "5", "6", "7", "8"]),
        (COUNTED + TASKS, ["made 1", "task 5", "task 5", "task 5"]),
        (WAITING_CONSTRUCTOR, ["a", "b", "c", "d"]),
    ],
)
async def test_constructors_run_once_before_main(
    compiler: str, compile_c: Any, on_board: Any, source: str, printed: list[str]
) -> None:
    image = await compile_c(source, language="c++")
    assert image.compiler.startswith(compiler)
    assert (await on_board.run(image, 1000)).own[: len(printed)] == printed


def test_our_own_objects_have_no_constructors(tmp_path: Any) -> None:
    toolchain = find_toolchain()
    files = sorted((HEADERS / "arduino").glob("*.cpp"))
    assert files
    assert Processes().run(toolchain.glue_command(files), tmp_path).returncode == 0
    made = {path.stem: read_symbols(path.read_bytes()) for path in tmp_path.glob("*.o")}
    assert {name for name, symbols in made.items() if symbols.has_constructors} == set()


# C++'s own headers: of libc++, which comes with the compiler, without its compiled part

CHECKED = """#include <microclaw.h>
#include <array>
#include <optional>
#include <string>
#include <vector>
int pin(int number) { return gpio_get(gpio_open(number, GPIO_IN)); }
int main() {
    std::vector<int> two{1, 2}, empty;
    std::optional<int> none;
    std::array<int, 3> three{};
    volatile int at = 3;
    switch (pin(4) + 2 * pin(5) + 4 * pin(6)) {
        case 0: return two.at(5);
        case 1: return empty.front();
        case 2: return *none;
        case 3: return three[at];
        default: return std::stoi("x");
    }
}
"""


@pytest.mark.parametrize(
    ("inputs", "line", "what"),
    [
        *(("", 13, "vector"), ("4=1", 14, "front() called on an empty vector"), ("5=1", 15, "operator*")),
        *(("4=1 5=1", 16, "out-of-bounds"), ("6=1", 17, "no number in")),
    ],
)
async def test_failed_check_of_cplusplus_names_the_programs_line(
    compile_c: Any, board: BoardProfile, inputs: str, line: int, what: str
) -> None:
    options = TrialOptions(for_ms=500, inputs=tuple(parse_input(word) for word in inputs.split()))
    trial = await try_image(await compile_c(CHECKED, language="c++"), board, options)
    assert not trial.ok
    assert f"line {line}, in main" in (trial.error or "")
    assert what in (trial.error or "")


async def test_every_header_of_cplusplus_compiles_and_links(compile_c: Any) -> None:
    includes = "".join(f"#include <{header}>\n" for header in sorted(STANDARD_HEADERS))
    assert (await compile_c(f"{includes}int main() {{ return 0; }}\n", language="c++")).warnings == ()


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
