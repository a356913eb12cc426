from __future__ import annotations

import asyncio
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest
from tests.programs.conftest import make_image

from microclaw.devices.virtual_boards.trial_board import TrialBoard
from microclaw.errors import ConfigError, DeviceTimeout
from microclaw.hardware.boards.reader import load_board
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.proof.stimuli import AdcStimulus, PinStimulus
from microclaw.programs.proof.trial import Trial, TrialOptions, try_image
from microclaw.programs.proof.trial_plan import parse_duration_ms, parse_input, plan
from microclaw.programs.proof.trial_run import BoardRun
from microclaw.programs.wasm.compile import compile_module
from microclaw.wire.board_control import Advance
from microclaw.wire.wasmachine.ioctl import IoctlCommand

BOARD = load_board("virtual")

BLINK = """
#include "microclaw.h"
static int led;
static void toggle(void) { gpio_toggle(led); }
void on_init(void) { led = gpio_open(2, GPIO_OUT); gpio_set(led, 1); every(500, toggle); }
"""


async def attempt(source: str, cache: Path, options: TrialOptions | None = None) -> Trial:
    builds = BuildCache(cache)
    image = await compile_module(source, BOARD, name="tried", cache=builds)
    return await try_image(image, BOARD, options, cache=builds)


async def test_an_edge_exactly_at_the_end_belongs_to_the_next_trial(build_cache: Path) -> None:
    for _ in range(2):
        trial = await attempt(BLINK, build_cache, TrialOptions(for_ms=2_000))
        found = [(round(edge.t_ms, -1), edge.level) for edge in trial.edges]
        assert found == [(0, 1), (500, 0), (1_000, 1), (1_500, 0)]
        assert (trial.ok, trial.ended, trial.board_ms, trial.pins, trial.driven) == (True, "running", 2_000, (2,), (2,))


async def test_a_board_that_stands_still_holds_a_trials_place_for_no_longer_than_three_times_its_cpu_time() -> None:
    class StillBoard:
        waits_s: ClassVar[list[float]] = []

        async def request(self, request: Any, timeout_s: float = 0.0) -> Any:
            self.waits_s.append(timeout_s)
            if isinstance(request, Advance):
                raise DeviceTimeout("it does not answer")
            return SimpleNamespace(now_ms=0.0)

    board = cast("TrialBoard", SimpleNamespace(control=StillBoard()))
    run = plan(TrialOptions(), uptime_ms=1_000.0)
    with pytest.raises(DeviceTimeout):
        await BoardRun(board, make_image("still"), run).record()
    assert max(StillBoard.waits_s) <= 3 * run.host_s


async def test_a_heap_that_does_not_fit_fails_before_anything_is_sent(build_cache: Path) -> None:
    trial = await attempt(BLINK, build_cache, TrialOptions(heap_bytes=16 << 20))
    assert (trial.ok, trial.edges) == (False, ())
    assert trial.error


def _storm(task: str, *, timers: int) -> str:
    begin = f"led = gpio_open(13, GPIO_OUT); for (int i = 0; i < {timers}; i++) every(1, t);"
    return (
        '#include "microclaw.h"\n#include <stdio.h>\nstatic int led;\n'
        f"static void t(void) {{ {task} }}\nint main(void) {{ {begin} return 0; }}\n"
    )


HEAD = '#include "microclaw.h"\n#include <fcntl.h>\nstatic volatile int v, base = 20;\n'
CRASH = """
__attribute__((import_module("env"), import_name("ioctl"))) int raw_ioctl(int fd, int command, ...);
struct { unsigned version, capacity, used; unsigned short type, size; unsigned place; } sequence = {
    1, 1, 1, 1, 4, 0x7ffffff0
};
void on_init(void) { raw_ioctl(open("/dev/gpio/2", O_RDWR), GPIOCSCFG, &sequence); }
""".replace("GPIOCSCFG", str(int(IoctlCommand.GPIOCSCFG)))
# A program, how it ends, its error and its next step as patterns.
FAULTS: dict[str, tuple[str, str, str]] = {
    "it traps in a function of a sketch": (
        "void setup() {}\nvoid loop() {\n  step();\n  delay(10);\n}\n"
        "void step() {\n  static int calls;\n  if (++calls == 5) __builtin_trap();\n}\n",
        ".*line 8, in step.*",
        ".+",
    ),
    "it traps for want of stack": (
        HEAD + "#include <string.h>\n"
        'static void __attribute__((noinline)) show(char *b) {\n b[v] = 1;\n printf("%d", b[3]);\n}\n'
        "static void __attribute__((noinline)) inner(void) {\n char b[2500];\n memset(b, 0, sizeof b);\n show(b);\n}\n"
        "int main(void) {\n char a[2500];\n memset(a, 0, sizeof a);\n inner();\n show(a);\n}",
        r".*inner \(line \d+\), called by main \(line .*",
        ".+",
    ),
    "it traps in a timer and goes on": (
        "static void tick(void) { __builtin_trap(); }\nvoid on_init(void) { every(700, tick); }",
        ".+",
        ".+",
    ),
    "it spins": ("void on_init(void) { volatile unsigned x = 1; while (x) x += 2; }", ".+", r".*every\(.*"),
    # Computing costs board time, so that the trial sees how long the application manager waits.
    "a callback computes for long": (
        "static void task(void) { for (int i = 0; i < 2000000; i++) v++; }\nvoid on_init(void) { every(1000, task); }",
        ".+",
        ".+",
    ),
    "a storm": (
        _storm("gpio_toggle(led); gpio_toggle(led); gpio_toggle(led);", timers=18),
        r"it does more than a board has time for: \d?\d,\d{3} pin changes in 0\.\d+ s",
        ".+",
    ),
    # A line takes a board's console about a millisecond.
    "a callback prints much": (_storm('for (int i = 0; i < 200; i++) printf("storm %d\\n", i);', timers=8), ".+", ".+"),
    "a forbidden pin is computed": (
        "void on_init(void) { int led = gpio_open(base + 7, GPIO_OUT); gpio_set(led, 1); }",
        ".*27.*",
        ".+",
    ),
    "it crashes the whole board": (CRASH, ".+", ".+"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_would_go_wrong_on_a_board_fails_with_its_reason(build_cache: Path, fault: str) -> None:
    source, error, next_step = FAULTS[fault]
    trial = await attempt(source if source.startswith(("#", "void setup")) else HEAD + source, build_cache)
    assert not trial.ok
    assert re.fullmatch(error, trial.error or "", re.DOTALL), trial.error
    assert (trial.ended == "trapped") == ("trap" in fault) or "crash" in fault, trial.ended
    assert fault != "a storm" or trial.board_ms <= 1_000
    assert fault != "it traps in a timer and goes on" or trial.log == ()
    assert re.fullmatch(next_step, trial.next_step or "", re.DOTALL), trial.next_step


async def test_more_time_than_this_machine_has_is_no_fault_of_the_programs(build_cache: Path) -> None:
    trial = await attempt(BLINK, build_cache, TrialOptions(for_ms=800_000_000, host_s=20.0))
    assert not trial.ok
    assert re.fullmatch(r"the trial was not finished: .* of 222 h 13 min of board time took .*", trial.error or "")
    assert "--for 10s" in (trial.next_step or "")


async def test_a_lively_loop_without_a_wait_is_no_storm(build_cache: Path) -> None:
    source = "void setup() { pinMode(4, OUTPUT); }\nvoid loop() { digitalWrite(4, HIGH); digitalWrite(4, LOW); }\n"
    assert (await attempt(source, build_cache)).ok


async def test_inputs_come_in_at_their_time(build_cache: Path) -> None:
    source = """
    #include "microclaw.h"
    static int button, led;
    static void look(void) { gpio_set(led, gpio_get(button)); }
    void on_init(void) { button = gpio_open(1, GPIO_IN); led = gpio_open(2, GPIO_OUT); every(10, look); }
    """
    inputs = (PinStimulus(1, 1, 2_000), PinStimulus(1, 0, 3_000))
    trial = await attempt(source, build_cache, TrialOptions(inputs=inputs))
    assert trial.ok
    assert [(edge.pin, edge.level) for edge in trial.edges] == [(2, 1), (2, 0)]
    assert trial.edges[0].t_ms == pytest.approx(2_005, abs=10)
    assert trial.edges[1].t_ms == pytest.approx(3_005, abs=10)
    assert trial.free(trial.edges) == ()
    assert trial.pins == (1, 2)
    assert trial.driven == (2,)


async def test_a_trial_after_a_cancelled_one_and_those_beside_it_have_boards_of_their_own(build_cache: Path) -> None:
    task = asyncio.create_task(attempt(BLINK, build_cache))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    first = await attempt(BLINK, build_cache)
    others = await asyncio.gather(*(attempt(BLINK, build_cache) for _ in range(2)))
    assert first.ok
    assert [trial.edges for trial in others] == [first.edges] * 2


DURATIONS = {"10s": 10_000, "500ms": 500, "2min": 120_000, "2m": 120_000, "1h": 3_600_000, "1.5": 1_500}
INPUTS = {"1=1@2s": PinStimulus(1, 1, 2_000), "0=0": PinStimulus(0, 0, 0), "ADC 1=3V@2s": AdcStimulus(1, 3.0, 2_000)}


def test_durations_and_inputs_are_read_in_every_unit_and_refused_in_any_other() -> None:
    assert {text: parse_duration_ms(text) for text in DURATIONS} == DURATIONS
    assert {text: parse_input(text) for text in INPUTS} == INPUTS
    for text in ("", "s", "-1s", "ten", "25h", "0s", "1e9s", "nan", "1ss"):
        with pytest.raises(ConfigError):
            parse_duration_ms(text)
    for text in ("", "1", "1=2", "a=1", "1=1@", "1=1@soon", "1=1@-2s", "=1", "1=9V@3s", "ADC 1=1"):
        with pytest.raises(ConfigError) as caught:
            parse_input(text)
        assert caught.value.next_step, text
