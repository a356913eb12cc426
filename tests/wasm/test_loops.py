"""Programs that would keep their board busy forever are refused, and no other; loops that poll get pause points."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from microclaw.apps.trial import TrialOptions, try_image
from microclaw.boards.profile import BoardProfile
from microclaw.errors import BuildError
from microclaw.wasm.loops import read_loops
from microclaw.wasm.symbols import read_symbols
from microclaw.wasm.toolchain import find_toolchain

HEAD = "#include <microclaw.h>\n#include <stdlib.h>\n#include <unistd.h>\nvolatile int v;\n"
HANGS = {
    "waits_by_counting": ("int main(void) {\n while (true) { for (int i = 0; i < 9999; i++) { v = i; } } }", 6),
    "only_writes": ('int main(void) {\n while (1) printf("%d", v++); }', 6),
    "behind_a_sleep": ("int main(void) { sleep(1);\n for (;;) { v++; } }", 6),
    "in_a_function": ("static void spin(void) {\n while (1) v++; }\nint main(void) { spin(); }", 6),
    "waits_in_a_task": (
        "static void task(void) {\n while (1) { if (gpio_get(v)) v++; } }\nvoid on_init(void) { every(9, task); }",
        6,
    ),
    "in_on_init": ("void on_init(void) {\n while (1) v++; }", 6),
    "sleep_of_its_own_that_only_counts": (
        "static void nap(void) { for (int i = 0; i < 99; i++) v = i; }\nint main(void) {\n while (1) nap(); }",
        7,
    ),
}
FINE = {
    "sleeps_in_on_init": "void on_init(void) { while (1) { v++; sleep(1); } }",
    "looks_at_a_pin": "int main(void) { while (1) { while (gpio_get(v)) { } v++; } }",
    "task_that_ends": "static void t(void) { while (gpio_get(v)) v++; }\nint main(void) { every(5, t); delay(9); }",
    "sleeps_below": "static void nap(void) { delay(5); }\nint main(void) { for (;;) { nap(); } }",
    "sleeps_sometimes": "int main(void) { for (;;) { if (v) usleep(10); } }",
    "exits": "int main(void) { while (1) { if (v++ > 5) exit(1); } }",
    "waits_for_a_variable": "int main(void) { while (v) { } return 0; }",
    "may_sleep_behind_a_pointer": "void (*volatile task)(void);\nint main(void) { while (1) { task(); } }",
    "inner_loop_leaves_both": "int main(void) { while (1) { while (v) { if (v == 7) return 0; } v++; } }",
    "recursion_with_an_end": "static int f(int n);\nstatic int g(int n) { return n ? f(n - 1) + v : 0; }\n"
    "static int f(int n) { return n ? g(n - 1) + v : 1; }\nint main(void) { return f(9); }",
}


@pytest.mark.parametrize(("name", "level"), [*((name, "O3") for name in HANGS), ("only_writes", "O0")])
async def test_program_that_keeps_its_board_busy_for_ever_is_refused_at_its_line(
    compile_c: Any, name: str, level: str
) -> None:
    source, line = HANGS[name]
    with pytest.raises(BuildError) as refused:
        await compile_c(HEAD + source, optimization=level)
    found = [d for d in refused.value.diagnostics if "never waits" in d.message or "never returns" in d.message]
    assert {d.line for d in found} == {line}
    assert all(d.hint and d.explanation and d.severity == "error" for d in found)


@pytest.mark.parametrize(("name", "level"), [*((name, "O3") for name in FINE), ("sleeps_below", "O0")])
async def test_loop_that_ends_or_waits_is_fine(compile_c: Any, name: str, level: str) -> None:
    assert (await compile_c(HEAD + FINE[name], optimization=level)).warnings == ()


# Pause points

ARDUINO = "#include <Arduino.h>\n"
POLLS = {
    "micros": (
        ARDUINO + "int main(void) { pinMode(2, OUTPUT); unsigned long t = micros(); for (;;) {\n"
        " if (micros() - t >= 500000) { t = micros(); digitalWrite(2, !digitalRead(2)); } } }",
        39,
    ),
    "in a function": (
        HEAD + "static void wait_ms(unsigned ms) { unsigned t = millis(); while (millis() - t < ms) { } }\n"
        "int main(void) { int l = gpio_open(2, GPIO_OUT); while (1) { gpio_toggle(l); wait_ms(500); } }",
        40,
    ),
    "a variable that a task sets": (
        HEAD + "static void tick(void) { v = 1; }\nint main(void) { int l = gpio_open(2, GPIO_OUT); every(500, tick);\n"
        " while (1) { while (!v) { } v = 0; gpio_toggle(l); } }",
        39,
    ),
}


@pytest.mark.parametrize(("name", "level"), [*((name, "O3") for name in POLLS), ("in a function", "O0")])
async def test_main_that_polls_keeps_time_and_lets_its_board_be_asked(
    compile_c: Any, board: BoardProfile, name: str, level: str
) -> None:
    source, edges = POLLS[name]
    image = await compile_c(source, optimization=level)
    assert image.eventful
    trial = await try_image(image, board, TrialOptions(for_ms=20_000))
    assert trial.ok, trial.error
    assert abs(len(trial.edges) - edges) <= 1
    gaps = [b.t_ms - a.t_ms for a, b in zip(trial.edges, trial.edges[1:], strict=False)]
    assert all(485 <= gap <= 515 for gap in gaps)


async def test_loop_that_computes_until_a_variable_changes_gives_way(compile_c: Any, board: BoardProfile) -> None:
    """It has no call and changes something: still only a callback can end it."""
    source = (
        HEAD + "volatile unsigned x, f;\nstatic void done(void) { f = 1; }\nint main(void) {\n"
        " int l = gpio_open(2, GPIO_OUT); after(3000, done); while (!f) x += 3; gpio_set(l, 1); for (;;) delay(1000); }"
    )
    image = await compile_c(source)
    trial = await try_image(image, board, TrialOptions(for_ms=8000))
    assert trial.ok, trial.error
    (edge,) = trial.edges
    assert edge.level == 1
    assert 3000 <= edge.t_ms <= 3120


@pytest.mark.parametrize("body", ["if (millis() == 7) x++;", "x += gpio_get(l);", "x += 3;"])
async def test_task_runs_in_time_beside_a_main_that_polls(compile_c: Any, board: BoardProfile, body: str) -> None:
    """Timers that fired for earlier pauses must not take main up again before the tasks that wait behind them."""
    source = (
        f"{HEAD}volatile unsigned x, f; int l;\nstatic void done(void) {{ f = 1; gpio_set(l, 1); }}\n"
        "static void beat(void) { x++; }\nint main(void) { l = gpio_open(2, GPIO_OUT | GPIO_IN); every(700, beat);\n"
        f" after(6000, done); while (!f) {{ {body} }} for (;;) delay(1000); }}"
    )
    trial = await try_image(await compile_c(source), board, TrialOptions(for_ms=8000))
    (edge,) = trial.edges
    assert 6000 <= edge.t_ms <= 6120


async def test_callback_that_waits_by_looking_at_the_clock_fails_its_trial(compile_c: Any, board: BoardProfile) -> None:
    source = (
        HEAD + "static void task(void) { unsigned t = millis(); while (millis() - t < 400) { } v++; }\n"
        "void on_init(void) { every(1000, task); }"
    )
    trial = await try_image(await compile_c(source), board, TrialOptions(for_ms=5000))
    assert not trial.ok


@pytest.mark.parametrize(
    "source",
    [
        "int main(void) { while (1) { v++; delay(5); } }",
        "int main(void) { while (1) { for (int i = 0; i < 8; i++) gpio_toggle(i); delay(5); } }",
        "int main(void) { while (1) { if (v) delay(5); else sleep(1); } }",
        "static void nap(void) { v++; delay(5); }\nint main(void) { while (1) { gpio_get(v); nap(); } }",
    ],
)
def test_loop_that_sleeps_on_every_way_round_gets_no_pause_point(source: str, tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text(HEAD + source)
    subprocess.run(find_toolchain().compile_command("a.c", "O3", ()), cwd=tmp_path, check=True, capture_output=True)
    assert read_loops(read_symbols((tmp_path / "program.o").read_bytes())).pause_points() == {}
