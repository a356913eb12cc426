"""A loop or a recursion that may run forever keeps no board busy: main pauses, a callback ends with its line."""

# ruff: noqa: E501 - a program a line is easier to read

from __future__ import annotations

from typing import Any

import pytest

from microclaw.errors import BuildError
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.programs.proof.trial import TrialOptions, try_image

HEAD = "#include <microclaw.h>\n#include <stdlib.h>\n#include <unistd.h>\nvolatile unsigned v, w, target = 7;\n"
NEXT = "static unsigned next(unsigned x) { return (x >> 1) ^ (x & 1 ? 0xA3000000u : 0); }\n"
SEARCH = "unsigned x = w, t = target;\n while (x != t) v = x = next(x);\n"
ENDS = {
    "counts": "int s = 0; for (unsigned i = 0; i < 99; i++) s += v; return s;",
    "counts down": "for (int i = 1000; i > 0; i -= 3) v++;",
}
GUARDED = {
    "search": f"{SEARCH}",
    "Euclid": "unsigned a = w, b = v; while (b) { v = b; unsigned t = a % b; a = b; b = t; } return a;",
    "steps below zero": "for (unsigned i = 100; i >= 10; i -= 30) v++;",
    "steps over the end": "for (unsigned i = w; i != 100; i += 6) v++;",
    "limit that moves": "for (unsigned i = 0, n = w; i < n; i++) n += v;",
    "counts sometimes": "int i = 0; while (i < 9) { if (v == 2) i++; }",
    "counts for minutes": "for (unsigned i = 0; i < 2000000000u; i++) v++;",
    "calls a loop": "for (unsigned i = 0; i < w; i++) spend();",
}


def _task(body: str) -> str:
    spend = "__attribute__((noinline)) static void spend(void) { for (unsigned i = 0; i < 999; i++) v++; }\n"
    work = f"__attribute__((noinline)) static int work(void) {{ {body}\n return 0; }}\n"
    entry = "static void task(void) { v = work(); }\nvoid on_init(void) { every(100, task); spend(); }\n"
    return f"{HEAD}int table[64];\n{NEXT}{spend}{work}{entry}"


@pytest.mark.parametrize("name", [*ENDS, *GUARDED])
async def test_only_a_loop_that_may_run_for_ever_or_for_minutes_is_guarded(compile_c: Any, name: str) -> None:
    image = await compile_c(_task({**ENDS, **GUARDED}[name]))
    assert (b"without end" in image.wasm) == (name in GUARDED)


LEFT = """#include <microclaw.h>
struct Node { int value; struct Node *next; } *root, *last;
void settle(void) {
    for (;;) {
        struct Node **at = &root;
        while (*at) {
            if (!(*at)->next) {
                if (at == &root) { last = *at; %s }
                break;
            }
            at = &(*at)->next;
            *at = (*at)->next;
        }
    }
}
int main(void) { settle(); }
"""


async def test_a_loop_that_can_be_left_is_no_endless_one_although_the_compiler_splits_one_off(compile_c: Any) -> None:
    """As in the sort of a public list: without a first node, nothing would change in a turn."""
    await compile_c(LEFT % "return;", language="c")
    with pytest.raises(BuildError, match="loops forever"):
        await compile_c(LEFT.replace("break;", "") % "", language="c")


async def test_task_that_searches_for_ever_ends_with_its_line(compile_c: Any, on_board: Any) -> None:
    entry = "int main(void) { every(1000, task); every(100, tick); for (;;) delay(500); }"
    source = (
        f'{HEAD}{NEXT}static void tick(void) {{ printf("tick\\n"); }}\nstatic void task(void) {{ {SEARCH} }}\n{entry}\n'
    )
    image = await compile_c(source)
    ran = on_board.run(image, 60_000)
    assert ran.shim == ["line 8: this loop ran 30 s without end"]
    after = ran.all[ran.all.index("microclaw: line 8: this loop ran 30 s without end") :]
    assert "tick" in ran.all
    assert "tick" not in after  # it is over, its tasks too
    assert len([line for line in after if "unreachable" in line]) == 1


# Recursions

RECURSIVE = "#include <microclaw.h>\n#include <stdlib.h>\nvolatile unsigned c, w = 7;\n#define APART __attribute__((noinline))\n"
DIRECT = "APART static unsigned busy(unsigned d) { c++; return d ? busy(d - 1) ^ busy(d - 1) : c; }\n"
POINTER = (
    "static unsigned busy(unsigned d);\nunsigned (*volatile next)(unsigned) = busy;\n"
    "APART static unsigned busy(unsigned d) { c++; return d ? next(d - 1) ^ next(d - 1) : c; }\n"
)
KINDS = {"direct": DIRECT, "through a pointer": POINTER}
TASK = "static void task(void) { c = busy(45); }\n"


ENTRIES = {
    "callback beside a main that waits": "int main(void) {{ after({ms}, task); every(100, tick); for (;;) delay(500); }}",
    "main that waits": "int main(void) {{ every(100, tick); delay({ms}); task(); return 0; }}",
}


@pytest.mark.parametrize(
    ("kind", "entry"), [("direct", "main that waits"), ("through a pointer", "callback beside a main that waits")]
)
async def test_recursion_that_begins_late_ends_with_its_line(
    kind: str, entry: str, compile_c: Any, on_board: Any
) -> None:
    tick = 'static void tick(void) { printf("tick\\n"); }\n'
    image = await compile_c(f"{RECURSIVE}{KINDS[kind]}{TASK}{tick}{ENTRIES[entry].format(ms=20_000)}\n")
    ran = on_board.run(image, 90_000)
    first = len(RECURSIVE.splitlines()) + 1
    line = {"direct": first, "through a pointer": first + 2}[kind]
    assert ran.shim == [f"line {line}: this recursion ran 30 s without end"]
    end = ran.all.index(f"microclaw: {ran.shim[0]}")
    assert "tick" in ran.all[:end]
    assert "tick" not in ran.all[end:]


async def test_task_runs_in_time_beside_a_main_that_polls(compile_c: Any, board: BoardProfile) -> None:
    """Timers that fired for earlier pauses must not take main up again before the tasks that wait behind them."""
    source = (
        f"{HEAD}volatile unsigned x, f; int l;\nstatic void done(void) {{ f = 1; gpio_set(l, 1); }}\n"
        "static void beat(void) { x++; }\nint main(void) { l = gpio_open(2, GPIO_OUT | GPIO_IN); every(700, beat);\n"
        f" after(6000, done); while (!f) {{ x += gpio_get(l); }} for (;;) delay(1000); }}"
    )
    trial = await try_image(await compile_c(source), board, TrialOptions(for_ms=8000))
    (edge,) = trial.edges
    assert 6000 <= edge.t_ms <= 6120
