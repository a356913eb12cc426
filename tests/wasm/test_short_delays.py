"""Delays below a tick are exact and keep the processor; longer ones let main sleep."""

from __future__ import annotations

from tests.wasm.conftest import CompileC

from microclaw.apps.trial import Trial, TrialOptions, try_image
from microclaw.boards.profile import BoardProfile

HEAD = (
    "#include <microclaw.h>\n#include <time.h>\n#include <unistd.h>\nvolatile unsigned us = 50;\n"
    "static void nap(void) { struct timespec t = {0, us * 1000}; nanosleep(&t, 0); }\n"
)


async def tried(compile_c: CompileC, board: BoardProfile, source: str, ms: float, level: str = "O3") -> Trial:
    trial = await try_image(await compile_c(HEAD + source, optimization=level), board, TrialOptions(for_ms=ms))
    assert trial.ok, trial.error
    return trial


def gaps_ms(trial: Trial) -> list[float]:
    return [round(b.t_ms - a.t_ms, 6) for a, b in zip(trial.edges, trial.edges[1:], strict=False)]


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


async def test_own_usleep_and_delay_microseconds_keep_their_meaning(compile_c: CompileC, board: BoardProfile) -> None:
    own = (
        "#include <microclaw.h>\n#include <unistd.h>\n"
        'int usleep(unsigned us) { printf("nap %u\\n", us); return 0; }\n'
        'void delayMicroseconds(unsigned us) { printf("wait %u\\n", us); }\n'
        "int main(void) { usleep(5); usleep(50000); delayMicroseconds(7); delay(20); return 0; }"
    )
    trial = await try_image(await compile_c(own), board, TrialOptions(for_ms=1000))
    assert [line for line in trial.log if "microclaw" not in line] == ["nap 5", "nap 50000", "wait 7"]
