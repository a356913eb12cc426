"""A program's trap in the trial is named by its function and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.apps.trial import TrialOptions, try_image
from microclaw.boards import load_board
from microclaw.builds.cache import BuildCache
from microclaw.wasm.compile import compile_module
from microclaw.wasm.source_language import language_of_file

HEAD = "#include <microclaw.h>\n#include <string.h>\n#include <stdlib.h>\nvolatile int n = 4;\n"
# Name: file, text, place. The program of .c begins with line 5, behind HEAD.
TRAPS = {
    "endless recursion": (
        "a.c",
        "int depth(int k) {\n volatile char b[32];\n b[k % 32] = 1;\n return depth(k + 1) + b[3];\n}\n"
        'int main(void) {\n printf("%d", depth(1));\n}',
        "depth calls itself",
    ),
    "large local arrays": (
        "a.c",
        'static void __attribute__((noinline)) show(char *b) {\n b[n] = 1;\n printf("%d", b[3]);\n}\n'
        "static void __attribute__((noinline)) inner(void) {\n char b[2500];\n memset(b, 0, sizeof b);\n show(b);\n}\n"
        "int main(void) {\n char a[2500];\n memset(a, 0, sizeof a);\n inner();\n show(a);\n}",
        "inner (line 11), called by main (line ",
    ),
    "pointer to another type of function": (
        "a.c",
        "static int add(int a, int b) { return a + b; }\nint (*volatile p)(int, int) = add;\n"
        'int main(void) {\n printf("%d", ((int (*)(int))p)(n));\n}',
        "line 8, in main",
    ),
    "far away": (
        "a.c",
        "int *volatile far = (int *)0x7000000;\nint main(void) {\n *far = n;\n}",
        "line 7, in main",
    ),
    "sketch": (
        "a.ino",
        "void setup() {\n  Serial.begin(9600);\n}\nvoid loop() {\n  step();\n  delay(10);\n}\n"
        "void step() {\n  static int calls;\n  if (++calls == 5) __builtin_trap();\n}\n",
        "line 10, in step",
    ),
}


@pytest.mark.parametrize("name", TRAPS)
async def test_a_trap_is_named_with_its_place(name: str, build_cache: Path) -> None:
    file, text, place = TRAPS[name]
    board, cache = load_board("virtual"), BuildCache(build_cache)
    source = text if file.endswith(".ino") else HEAD + text
    image = await compile_module(source, board, name="a", language=language_of_file(file), cache=cache)
    trial = await try_image(image, board, TrialOptions(for_ms=3000), cache=cache)
    assert trial.ended == "trapped"
    assert place in (trial.error or "")
