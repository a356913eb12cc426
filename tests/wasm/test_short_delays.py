"""Delays below a tick are exact and keep the processor; longer ones let main sleep."""

from __future__ import annotations

import pytest
from tests.wasm.conftest import CompileC

from microclaw.apps.trial import Trial, TrialOptions, try_image
from microclaw.boards.profile import BoardProfile

HEAD = (
    "#include <microclaw.h>\n#include <time.h>\n#include <unistd.h>\nvolatile unsigned us = 50;\n"
    "static void nap(void) { struct timespec t = {0, us * 1000}; nanosleep(&t, 0); }\n"
)
WAITS = ("delayMicroseconds(50)", "usleep(50)", "delayMicroseconds(us)", "usleep(us)", "nap()")


async def tried(compile_c: CompileC, board: BoardProfile, source: str, ms: float, level: str = "O3") -> Trial:
    trial = await try_image(await compile_c(HEAD + source, optimization=level), board, TrialOptions(for_ms=ms))
    assert trial.ok, trial.error
    return trial


def gaps_ms(trial: Trial) -> list[float]:
    return [round(b.t_ms - a.t_ms, 6) for a, b in zip(trial.edges, trial.edges[1:], strict=False)]


@pytest.mark.parametrize("level", ["O0", "O3"])
async def test_pulse_of_50_us_is_exact_beside_a_main_that_sleeps(
    compile_c: CompileC, board: BoardProfile, level: str
) -> None:
    pulses = "".join(
        f" for (int i = 0; i < 100; i++) {{ gpio_set(l, 1); {wait}; gpio_set(l, 0); {wait}; }} sleep(1);\n"
        for wait in WAITS
    )
    source = f"int main(void) {{ int l = gpio_open(2, GPIO_OUT); sleep(1);\n{pulses} return 0; }}"
    gaps = gaps_ms(await tried(compile_c, board, source, 7000, level))
    short = [gap for gap in gaps if gap < 500]
    assert (len(short), len(gaps)) == (199 * len(WAITS), 200 * len(WAITS) - 1)
    assert all(0.05 <= gap <= 0.1 for gap in short)


async def test_servo_gets_pulses_of_the_length_that_was_meant(compile_c: CompileC, board: BoardProfile) -> None:
    source = (
        "int main(void) { int l = gpio_open(2, GPIO_OUT); while (1) {\n"
        " gpio_set(l, 1); usleep(1500); gpio_set(l, 0); usleep(18500); } }"
    )
    gaps = gaps_ms(await tried(compile_c, board, source, 5000))
    assert all(1.5 <= gap <= 1.55 for gap in gaps[::2])
    assert all(17.5 <= gap <= 18.55 for gap in gaps[1::2])
    assert len(gaps) > 490


async def test_waits_of_all_lengths_last_as_long_as_asked(compile_c: CompileC, board: BoardProfile) -> None:
    lengths = (1, 50, 900, 901, 999, 1000, 1001, 9999, 10000, 10001, 20050, 1234567)
    source = "static void show(unsigned long t, unsigned long n) { unsigned long d = micros() - t;\n"
    source += ' bool right = d >= n && d <= n + 50; if (!right) printf("%lu %lu\\n", n, d);\n'
    source += ' puts(right ? "right" : "wrong"); }\n'
    steps = "".join(
        f" t = micros(); usleep({n}); show(t, {n}); us = {n}; t = micros(); usleep(us); show(t, {n});\n"
        f" t = micros(); delayMicroseconds({n}); show(t, {n}); t = micros(); delayMicroseconds(us); show(t, {n});\n"
        for n in lengths
    )
    trial = await tried(compile_c, board, f"{source}int main(void) {{ unsigned long t;\n{steps} return 0; }}", 10_000)
    assert [line for line in trial.log if line in ("right", "wrong")] == ["right"] * 4 * len(lengths), trial.log


@pytest.mark.parametrize("wait", [*WAITS, "usleep(0)", "usleep(9999)", "delayMicroseconds(20000)"])
async def test_loop_that_only_waits_a_moment_lets_its_board_be_asked(
    compile_c: CompileC, board: BoardProfile, wait: str
) -> None:
    source = f'static void task(void) {{ puts("task"); }}\nint main(void) {{ every(500, task); while (1) {wait}; }}'
    trial = await tried(compile_c, board, source, 2200)
    assert len([line for line in trial.log if line == "task"]) >= 3  # each up to 0.1 s late


@pytest.mark.parametrize("wait", ["usleep(5000)", "usleep(us)", "nap()"])
async def test_tasks_are_hardly_late_beside_a_main_that_naps(
    compile_c: CompileC, board: BoardProfile, wait: str
) -> None:
    source = f'static void task(void) {{ puts("task"); }}\nint main(void) {{ every(100, task); while (1) {wait}; }}'
    trial = await tried(compile_c, board, source, 2050)
    assert len([line for line in trial.log if line == "task"]) >= 16


async def test_callback_may_wait_for_less_than_a_tick(compile_c: CompileC, board: BoardProfile) -> None:
    source = (
        "static int l;\nstatic void task(void) { gpio_set(l, 1); delayMicroseconds(10); gpio_set(l, 0); usleep(us);\n"
        " gpio_set(l, 1); usleep(1500); gpio_set(l, 0); }\n"
        "int main(void) { l = gpio_open(2, GPIO_OUT); every(100, task); while (1) sleep(1); }"
    )
    trial = await tried(compile_c, board, source, 1050)
    gaps = gaps_ms(trial)
    assert len(trial.edges) == 40
    for at, length in enumerate((0.01, 0.05, 1.5)):
        assert all(length <= gap <= length + 0.05 for gap in gaps[at::4])


async def test_callback_that_waits_long_for_a_variable_time_waits_for_it(
    compile_c: CompileC, board: BoardProfile
) -> None:
    source = (
        "static int l;\nstatic void task(void) { gpio_set(l, 1); usleep(us * 500); gpio_set(l, 0); }\n"
        "int main(void) { l = gpio_open(2, GPIO_OUT); every(100, task); while (1) sleep(1); }"
    )
    gaps = gaps_ms(await tried(compile_c, board, source, 1050))
    assert all(25 <= gap <= 25.05 for gap in gaps[::2])


async def test_short_waits_alone_need_no_shim(compile_c: CompileC) -> None:
    image = await compile_c(HEAD + "int main(void) { delayMicroseconds(10); usleep(5000); return 0; }")
    assert not image.eventful
    assert image.size_bytes < 450


async def test_own_usleep_and_delay_microseconds_keep_their_meaning(compile_c: CompileC, board: BoardProfile) -> None:
    own = (
        "#include <microclaw.h>\n#include <unistd.h>\n"
        'int usleep(unsigned us) { printf("nap %u\\n", us); return 0; }\n'
        'void delayMicroseconds(unsigned us) { printf("wait %u\\n", us); }\n'
        "int main(void) { usleep(5); usleep(50000); delayMicroseconds(7); delay(20); return 0; }"
    )
    trial = await try_image(await compile_c(own), board, TrialOptions(for_ms=1000))
    assert [line for line in trial.log if "microclaw" not in line] == ["nap 5", "nap 50000", "wait 7"]
