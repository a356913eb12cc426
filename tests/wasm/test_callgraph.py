"""Calls are read from a linked module with their names; what no runtime needs is left out of it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from microclaw.builds.process import Processes
from microclaw.wasm.callgraph import CallGraph, read_callgraph
from microclaw.wasm.eventful import without_custom_sections
from microclaw.wasm.inspect import parse_module
from microclaw.wasm.libraries import build_glue, write_archive
from microclaw.wasm.opcodes import check_opcodes
from microclaw.wasm.pause_points import without_exports
from microclaw.wasm.symbols import read_symbols
from microclaw.wasm.toolchain import find_toolchain
from microclaw.wire.wasm_binary import FeatureError, ModuleError

SOURCE = """
#include <stdio.h>
#define FAR __attribute__((noinline))
static int counter;
static FAR void leaf(void) { counter++; puts("leaf"); }
static FAR void middle(int n) { while (n--) leaf(); counter++; }
static FAR int other(int n) { counter += n; return n; }
void (*volatile one)(void) = leaf;
int (*volatile two)(int) = other;
void by_name(void) { middle(3); counter++; }
void by_pointer(void) { one(); counter++; }
void on_init(void) { by_name(); by_pointer(); two(counter); }
"""


@pytest.fixture
async def linked(tmp_path: Path) -> bytes:
    toolchain = find_toolchain()
    libraries = await build_glue(toolchain, tmp_path)
    (tmp_path / "program.c").write_text(SOURCE)
    processes = Processes()
    for command in (
        toolchain.compile_command("program.c", "O1", ()),
        [*toolchain.link_command(libraries, 4096, names=True), "--export=by_name", "--export=by_pointer"],
    ):
        finished = processes.run(command, tmp_path)
        assert finished.returncode == 0, finished.output
    return (tmp_path / "program.wasm").read_bytes()


def names_on_path(graph: CallGraph, start: str, goal: str, *, certain: bool) -> list[str] | None:
    first, last = graph.index(start), graph.index(goal)
    assert first is not None
    assert last is not None
    path = graph.path(first, frozenset((last,)), graph.direct if certain else graph.possible)
    return None if path is None else [graph.names[function] for function in path]


def test_chain_of_calls_is_named(linked: bytes) -> None:
    graph = read_callgraph(linked)
    assert names_on_path(graph, "by_name", "leaf", certain=True) == ["by_name", "middle", "leaf"]
    assert graph.import_index("env", "puts") in set(graph.direct(graph.index("leaf") or 0))


def test_pointer_reaches_functions_of_its_type_and_no_others(linked: bytes) -> None:
    graph = read_callgraph(linked)
    assert names_on_path(graph, "by_pointer", "leaf", certain=True) is None
    assert names_on_path(graph, "by_pointer", "leaf", certain=False) == ["by_pointer", "leaf"]
    assert names_on_path(graph, "by_pointer", "other", certain=False) is None


def test_module_without_notes_and_exports_is_the_same_program(linked: bytes) -> None:
    module = parse_module(linked)
    bare = without_custom_sections(linked)
    assert len(bare) < len(linked)
    assert parse_module(bare) == module
    without = parse_module(without_exports(bare, "by_"))
    assert [e for e in module.exports if not e.name.startswith("by_")] == without.exports
    assert (without.bodies, without.data) == (module.bodies, module.data)


def test_object_tells_what_it_defines_and_lacks(tmp_path: Path) -> None:
    toolchain = find_toolchain()
    (tmp_path / "program.c").write_text(
        "int there(void); static int big[99];\nint here(int i) { int *p = big; return there() + p[i]++; }"
    )
    assert Processes().run(toolchain.compile_command("program.c", "O1", ()), tmp_path).returncode == 0
    symbols = read_symbols((tmp_path / "program.o").read_bytes())
    assert "here" in symbols.functions
    assert symbols.missing == {"there"}
    assert symbols.variables["big"] == 396
    assert symbols.largest_variable is not None
    assert symbols.largest_variable.name == "big"
    assert "big" not in symbols.visible


def test_archive_of_equal_members_is_equal_and_names_what_it_holds(tmp_path: Path) -> None:
    toolchain = find_toolchain()
    (tmp_path / "program.c").write_text(
        "int shown(void) { return 1; }\nstatic int hidden(void) { return 2; }\nint (*f)(void) = hidden;"
    )
    assert Processes().run(toolchain.compile_command("program.c", "O1", ()), tmp_path).returncode == 0
    member = (tmp_path / "program.o").read_bytes()
    archive = write_archive({"a_rather_long_name_of_a_member.o": member})
    assert archive == write_archive({"a_rather_long_name_of_a_member.o": member})
    assert archive.startswith(b"!<arch>\n/ ")
    index = archive[68:].partition(b"`\n")[0]
    assert b"shown\0" in index
    assert b"hidden" not in index


def body(*instructions: int) -> bytes:
    return bytes([0, *instructions, 0x0B])


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ((0x41, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00), ModuleError),  # a constant of six bytes
        ((0x20, 0xFF, 0xFF, 0xFF, 0xFF, 0x1F), ModuleError),  # an index of more than 32 bits
        ((0x42, *(0x80,) * 10, 0x00), ModuleError),
        ((0x44, 1, 2, 3), ModuleError),  # a double cut short
        ((0x0E, 0x7F, 0x00), ModuleError),  # more targets than bytes
        ((0x27,), ModuleError),
        ((0x02, 0x05), FeatureError),
        ((0x3F, 0x01), FeatureError),
        ((0x11, 0x00, 0x01), FeatureError),
        ((0xC0,), FeatureError),
        ((0xFC, 0x0A, 0x00, 0x00), FeatureError),
    ],
)
def test_wrong_instruction_is_found_wherever_it_stands(code: tuple[int, ...], problem: type[Exception]) -> None:
    fine = (0x41, 0x05, 0x1A, 0x0E, 0x02, 0x00, 0x01, 0x00, 0x10, 0x80, 0x80, 0x80, 0x80, 0x00)
    for before in ((), fine, fine * 9):
        with pytest.raises(problem):
            check_opcodes([body(*before, *code)])


def test_every_instruction_of_webassembly_1_is_let_pass() -> None:
    check_opcodes(
        [
            body(*(op for op in (0x00, 0x01, 0x05, 0x0F, 0x1A, 0x1B, *range(0x45, 0xC0)))),
            body(*(b for op in (0x0C, 0x0D, 0x10, *range(0x20, 0x25)) for b in (op, 0x85, 0x01))),
            body(*(b for op in range(0x28, 0x3F) for b in (op, 0x02, 0x90, 0x01))),
            body(0x02, 0x40, 0x03, 0x7F, 0x04, 0x7C, 0x11, 0x00, 0x00, 0x3F, 0x00, 0x40, 0x00, 0x0E, 0x01, 0x00, 0x00),
            body(0x41, 0x7F, 0x42, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0x43, 0, 0, 1, 2, 0x44, *range(8)),
        ]
    )


def test_random_bytes_are_refused_or_pass_and_nothing_else() -> None:
    chance = random.Random(5)
    for _ in range(3000):
        code = bytes(chance.choices((*range(256), 0x41, 0x20, 0x0E, 0x10, 0x00), k=chance.randrange(1, 40)))
        try:
            check_opcodes([b"\0" + code])
        except (ModuleError, FeatureError):
            continue
        assert code.endswith(b"\x0b")
