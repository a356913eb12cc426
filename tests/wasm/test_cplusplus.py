"""C++ programs: constructors run once, polling loops in methods give way, names in errors are the source's."""

from __future__ import annotations

from typing import Any

import pytest

from microclaw.builds.process import Processes
from microclaw.wasm import HEADERS, find_toolchain
from microclaw.wasm.symbols import read_symbols, source_name


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
RETURNS = 'int main() { printf("%d\\n", counter.value); return 0; }\n'
ARGUMENTS = 'int main(int argc, char **argv) { printf("%d\\n", counter.value); delay(10); return argc - 1; }\n'
TASKS = """
static void task() { printf("task %d\\n", counter.value); }
int main() { every(100, task); return 0; }
"""
WAITING_CONSTRUCTOR = """
#include <microclaw.h>
struct Slow { Slow() { printf("a\\n"); delay(50); printf("b\\n"); } } slow;
int main() { printf("c\\n"); delay(50); printf("d\\n"); return 0; }
"""
MARKED_IN_C = """
#include <microclaw.h>
__attribute__((constructor)) static void first(void) { printf("first\\n"); }
int main(void) { for (int i = 0; i < 3; i++) { printf("%d\\n", i); delay(100); } return 0; }
"""


@pytest.mark.parametrize(
    ("source", "printed"),
    [
        (COUNTED + SLEEPS, ["made 1", "5", "6", "7", "8"]),
        (COUNTED + RETURNS, ["made 1", "5"]),
        (COUNTED + ARGUMENTS, ["made 1", "5"]),
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


async def test_function_marked_as_constructor_in_c_runs_once(compile_c: Any, on_board: Any) -> None:
    ran = await on_board.run(await compile_c(MARKED_IN_C, language="c"), 1000)
    assert ran.own == ["first", "0", "1", "2"]


async def test_event_driven_program_in_cplusplus(compile_c: Any, on_board: Any) -> None:
    source = '#include <microclaw.h>\nvoid on_init() { every(100, [] { printf("x\\n"); }); }\n'
    assert (await on_board.run(await compile_c(source, language="c++"), 350)).own == ["x", "x", "x"]


def test_our_own_objects_have_no_constructors(tmp_path: Any) -> None:
    toolchain = find_toolchain()
    files = sorted((HEADERS / "arduino").glob("*.cpp"))
    assert files
    assert Processes().run(toolchain.glue_command(files), tmp_path).returncode == 0
    made = {path.stem: read_symbols(path.read_bytes()) for path in tmp_path.glob("*.o")}
    assert {name for name, symbols in made.items() if symbols.has_constructors} == set()


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("_Z5blinki", "blink"),
        ("_ZN7Blinker6updateEv", "update"),
        ("_ZL5taskAv", "taskA"),
        ("_ZNK4Ring3topEv", "top"),
        ("_ZN7BlinkerC2Ei", "Blinker"),
        ("__main_void", "main"),
        ("_GLOBAL__sub_I_a.ino", "a global object's constructor"),
        ("plain_c", "plain_c"),
        ("_Z", "_Z"),
        ("_Z999999x", "x"),
    ],
)
def test_decorated_name_is_told_as_the_source_has_it(symbol: str, name: str) -> None:
    assert source_name(symbol) == name
