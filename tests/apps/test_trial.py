from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path

import pytest

from microclaw.apps import trial_run
from microclaw.apps.expectations import AdcStimulus
from microclaw.apps.trial import Trial, TrialInput, TrialOptions, parse_duration_ms, parse_input, try_image
from microclaw.apps.trial_run import TWO_PERIODS
from microclaw.boards.reader import load_board
from microclaw.errors import ConfigError, TrialFailed
from microclaw.virtual_boards.trial_pool import TrialPool
from microclaw.wasm import BuildCache, compile_module
from microclaw.wire.wasmachine.ioctl import IoctlCommand

BOARD = load_board("virtual")

BLINK = """
#include "microclaw.h"
static int led;
static void toggle(void) { gpio_toggle(led); }
void on_init(void) { led = gpio_open(2, GPIO_OUT); gpio_set(led, 1); every(500, toggle); }
"""


async def attempt(
    source: str, cache: Path, options: TrialOptions | None = None, trial_pool: TrialPool | None = None
) -> Trial:
    image = await compile_module(source, BOARD, name="tried", cache=BuildCache(cache))
    return await try_image(image, BOARD, options, trial_pool=trial_pool)


async def test_ten_seconds_of_a_blink_have_twenty_edges(build_cache: Path) -> None:
    trial = await attempt(BLINK, build_cache)
    assert trial.ok
    assert trial.ended == "running"
    assert len(trial.edges) == 20
    assert [edge.level for edge in trial.edges[:4]] == [1, 0, 1, 0]
    assert trial.edges[1].t_ms == pytest.approx(500, abs=1)
    assert trial.pins == trial.driven == (2,)
    assert trial.summary().endswith(": 20 edges on pin 2, 0.500 s apart")
    assert trial.summary().startswith("10 s of board time in ")


async def test_a_program_that_wants_the_network_is_told_that_there_is_none(build_cache: Path) -> None:
    source = """
#include <mqtt_client.h>
#include <unistd.h>
int main(void) {
    esp_mqtt_client_config_t config = {.broker.address.uri = "mqtt://192.0.2.1"};
    esp_mqtt_client_handle_t client = esp_mqtt_client_init(&config);
    esp_mqtt_client_start(client);
    while (1) {
        printf("%d\\n", esp_mqtt_client_publish(client, "t", "x", 1, 0, 0));
        sleep(1);
    }
}
"""
    trial = await attempt(source, build_cache)
    assert trial.ok
    assert set(trial.log) == {"-1"}
    assert any(warning.startswith("the trial has no network: MQTT and HTTP failed") for warning in trial.warnings)


@pytest.mark.parametrize(
    ("pins", "said"),
    [
        ((14, 14), "pin 14 was set from outside, and the program never opened it"),
        ((15, 14), "pins 14, 15 were set from outside, and the program never opened them"),
        ((2,), None),
    ],
)
async def test_an_input_at_a_pin_that_is_never_opened_is_told(
    build_cache: Path, pins: tuple[int, ...], said: str | None
) -> None:
    trial = await attempt(BLINK, build_cache, TrialOptions(inputs=tuple(TrialInput(pin, 1, 2_000) for pin in pins)))
    assert trial.ok
    assert [one for one in trial.warnings if "from outside" in one] == ([said] if said else [])


async def test_the_same_program_has_the_same_edges_each_time(build_cache: Path) -> None:
    first, second = await attempt(BLINK, build_cache), await attempt(BLINK, build_cache)
    assert first.edges == second.edges


async def test_ten_minutes_of_board_time_have_twelve_hundred_edges(build_cache: Path) -> None:
    trial = await attempt(BLINK, build_cache, TrialOptions(for_ms=600_000))
    assert len(trial.edges) == 1200


async def test_an_edge_exactly_at_the_end_belongs_to_the_next_trial(build_cache: Path) -> None:
    for _ in range(3):
        trial = await attempt(BLINK, build_cache, TrialOptions(for_ms=2_000))
        assert [round(edge.t_ms, -1) for edge in trial.edges] == [0, 500, 1_000, 1_500]
        assert trial.board_ms == 2_000


async def test_realtime_takes_the_time_it_takes(build_cache: Path) -> None:
    source = BLINK.replace("500", "50")
    trial = await attempt(source, build_cache, TrialOptions(for_ms=400, realtime=True))
    assert trial.ok
    assert trial.took_ms >= 400
    assert 4 <= len(trial.edges) <= 12


async def test_printed_lines_are_the_trials_log(build_cache: Path) -> None:
    source = '#include <stdio.h>\nvoid on_init(void) { printf("hello %d\\n", 42); }'
    trial = await attempt(source, build_cache)
    assert trial.ok
    assert trial.log == ("hello 42",)
    assert trial.first_line_ms == pytest.approx(0, abs=5)


async def test_a_trap_in_on_init_fails_with_its_text(build_cache: Path) -> None:
    trial = await attempt("void on_init(void) { __builtin_trap(); }", build_cache)
    assert not trial.ok
    assert trial.ended == "trapped"
    assert trial.error is not None
    assert "it trapped at line 1, in on_init: " in trial.error
    with pytest.raises(TrialFailed) as caught:
        trial.raise_if_failed()
    assert caught.value.next_step


async def test_a_trap_in_a_timer_fails_although_the_app_goes_on(build_cache: Path) -> None:
    source = '#include "microclaw.h"\nstatic void f(void) { __builtin_trap(); }\nvoid on_init(void) { every(700, f); }'
    trial = await attempt(source, build_cache)
    assert not trial.ok
    assert trial.error is not None
    assert "it trapped at line 2, in f: " in trial.error
    assert trial.log == ()


async def test_a_program_that_spins_is_caught(build_cache: Path) -> None:
    trial = await attempt("void on_init(void) { volatile unsigned x = 1; while (x) x += 2; }", build_cache)
    assert not trial.ok
    assert trial.error is not None
    assert trial.error.startswith(("it spins", "it keeps the application manager waiting"))
    assert "every(" in (trial.next_step or "")


async def test_a_callback_that_computes_for_long_is_caught(build_cache: Path) -> None:
    """Computing costs board time, so that the trial sees how long the application manager waits."""
    source = (
        "#include <microclaw.h>\nvolatile int v;\nstatic void task(void) { for (int i = 0; i < 2000000; i++) v = i; }\n"
        "void on_init(void) { every(1000, task); }"
    )
    trial = await attempt(source, build_cache)
    assert not trial.ok
    assert "keeps the application manager waiting" in (trial.error or "")


async def test_a_callback_whose_recursion_takes_minutes_is_told_with_its_line(build_cache: Path) -> None:
    source = (
        '#include "microclaw.h"\n#include <stdio.h>\nstatic volatile unsigned c;\n'
        "static unsigned rec(unsigned d) { c++; return d ? rec(d - 1) ^ rec(d - 1) : c; }\n"
        'static void tick(void) { printf("%u\\n", rec(45)); }\nint main(void) { every(1000, tick); return 0; }\n'
    )
    trial = await attempt(source, build_cache)
    assert trial.error == "line 4: this recursion ran 30 s in one call, without an end in sight"
    assert "part of the work" in (trial.next_step or "")


async def test_a_storm_is_told_as_the_programs_doing(build_cache: Path) -> None:
    trial = await attempt(_storm("gpio_toggle(led); gpio_toggle(led); gpio_toggle(led);", timers=18), build_cache)
    assert not trial.ok
    what = r"it does more than a board has time for: \d\d,\d{3} pin changes in 0\.\d+ s"
    assert re.fullmatch(what, trial.error or "")
    assert trial.board_ms <= 1_000


async def test_a_storm_within_one_call_ends_soon(build_cache: Path) -> None:
    """What one callback does at once takes board time too: the first part of the trial does not run all of it."""
    trial = await attempt(_storm("for (int i = 0; i < 1000000; i++) gpio_toggle(led);"), build_cache)
    assert not trial.ok
    told = re.search(r"([\d,]+) pin changes in", trial.error or "")
    assert told is not None
    assert int(told[1].replace(",", "")) < 40_000
    assert trial.board_ms < 1_000


@pytest.mark.parametrize(("lines", "timers"), [(200, 8), (100_000, 1)])
async def test_a_callback_that_prints_much_holds_up_the_manager(build_cache: Path, lines: int, timers: int) -> None:
    """A line takes a board's console about a millisecond."""
    task = f'for (int i = 0; i < {lines}; i++) printf("storm %d\\n", i);'
    trial = await attempt(_storm(task, timers=timers), build_cache)
    assert not trial.ok
    assert "it keeps the application manager waiting: one call" in (trial.error or "")


def _storm(task: str, *, timers: int = 1) -> str:
    begin = f"led = gpio_open(13, GPIO_OUT); for (int i = 0; i < {timers}; i++) every(1, t);"
    return (
        '#include "microclaw.h"\n#include <stdio.h>\nstatic int led;\n'
        f"static void t(void) {{ {task} }}\nint main(void) {{ {begin} return 0; }}\n"
    )


async def test_more_time_than_this_machine_has_is_no_fault_of_the_programs(build_cache: Path) -> None:
    trial = await attempt(BLINK, build_cache, TrialOptions(for_ms=80_000_000, host_s=1.0))
    assert not trial.ok
    assert re.fullmatch(r"the trial was not finished: .* of 22 h 13 min of board time took .*", trial.error or "")
    assert "--for 10s" in (trial.next_step or "")


async def test_a_lively_loop_without_a_wait_is_no_storm(build_cache: Path) -> None:
    source = "void setup() { pinMode(4, OUTPUT); }\nvoid loop() { digitalWrite(4, HIGH); digitalWrite(4, LOW); }\n"
    assert (await attempt(source, build_cache)).ok


async def test_a_little_computing_leaves_the_times_of_edges_round(build_cache: Path) -> None:
    source = (
        "#include <microclaw.h>\nint led, n;\n"
        "static void task(void) { for (int i = 0; i < 100; i++) n += i % 7; gpio_toggle(led); }\n"
        "void on_init(void) { led = gpio_open(2, GPIO_OUT); every(500, task); }"
    )
    trial = await attempt(source, build_cache)
    assert [edge.t_ms for edge in trial.edges[:3]] == pytest.approx([500, 1000, 1500], abs=0.05)


async def test_a_program_that_exits_is_caught(build_cache: Path) -> None:
    source = "#include <stdlib.h>\nvoid on_init(void) { exit(3); }"
    trial = await attempt(source, build_cache)
    assert not trial.ok
    assert trial.ended in ("exited", "trapped")


async def test_no_effect_is_warned_about(build_cache: Path) -> None:
    trial = await attempt("void on_init(void) { }", build_cache)
    assert trial.ok
    assert trial.warnings == ("no effect seen: no pin opened, nothing printed",)


async def test_a_forbidden_pin_computed_at_run_time_is_caught(build_cache: Path) -> None:
    source = """
    #include "microclaw.h"
    static volatile int base = 20;
    void on_init(void) { int led = gpio_open(base + 7, GPIO_OUT); gpio_set(led, 1); }
    """
    trial = await attempt(source, build_cache)
    assert not trial.ok
    assert trial.error is not None
    assert trial.error.startswith("at run time it opened a pin it must not: pin 27")


async def test_inputs_come_in_at_their_time(build_cache: Path) -> None:
    source = """
    #include "microclaw.h"
    static int button, led;
    static void look(void) { gpio_set(led, gpio_get(button)); }
    void on_init(void) { button = gpio_open(1, GPIO_IN); led = gpio_open(2, GPIO_OUT); every(10, look); }
    """
    inputs = (TrialInput(1, 1, 2_000), TrialInput(1, 0, 3_000))
    trial = await attempt(source, build_cache, TrialOptions(inputs=inputs))
    assert trial.ok
    assert [(edge.pin, edge.level) for edge in trial.edges] == [(2, 1), (2, 0)]
    assert trial.edges[0].t_ms == pytest.approx(2_005, abs=10)
    assert trial.edges[1].t_ms == pytest.approx(3_005, abs=10)
    assert trial.free_edges() == ()
    assert trial.pins == (1, 2)
    assert trial.driven == (2,)


async def test_pwm_is_recorded_as_changes(build_cache: Path) -> None:
    source = """
    #include "microclaw.h"
    void on_init(void) { int p = pwm_open(5, 5000); pwm_set(p, 128); }
    """
    trial = await attempt(source, build_cache)
    assert trial.ok
    assert [(change.pin, change.duty) for change in trial.pwm if change.duty] == [(5, 128)]
    assert trial.edges == ()


async def test_a_nearly_full_heap_is_warned_about(build_cache: Path) -> None:
    source = """
    #include <stdlib.h>
    #include "microclaw.h"
    void *kept;
    void on_init(void) { kept = malloc(7800); gpio_set(gpio_open(2, GPIO_OUT), kept != 0); }
    """
    trial = await attempt(source, build_cache)
    assert trial.ok
    assert len(trial.warnings) == 1
    assert trial.warnings[0].startswith("its heap is nearly full")


async def test_the_document_has_every_field_of_try_json(build_cache: Path) -> None:
    document = (await attempt(BLINK, build_cache, TrialOptions(for_ms=1_200))).to_json()
    assert document["schema"] == "microclaw.try/1"
    assert document["ok"] is True
    assert [edge[1:] for edge in document["edges"]] == [[2, 1], [2, 0], [2, 1]]
    assert {"log", "ended", "error", "peak_heap_bytes", "peak_stack_bytes", "warnings"} <= document.keys()


async def test_a_board_of_another_kind_is_tried_as_that_board(build_cache: Path) -> None:
    board = load_board("esp32-s3-devkitc-1-v1.1")
    image = await compile_module(BLINK.replace("(2,", "(4,"), board, name="tried", cache=BuildCache(build_cache))
    trial = await try_image(image, board)
    assert trial.ok
    assert trial.pins == (4,)


async def test_a_standby_gives_each_trial_a_board_of_its_own(build_cache: Path) -> None:
    async with TrialPool(BOARD) as trial_pool:
        first = await attempt(BLINK, build_cache, trial_pool=trial_pool)
        second = await attempt(BLINK, build_cache, trial_pool=trial_pool)
        trial_pool.refill()
        third, fourth = await asyncio.gather(
            attempt(BLINK, build_cache, trial_pool=trial_pool), attempt(BLINK, build_cache, trial_pool=trial_pool)
        )
    assert [trial.edges for trial in (second, third, fourth)] == [first.edges] * 3


async def test_a_cancelled_trial_gives_its_standby_up_cleanly(build_cache: Path) -> None:
    async with TrialPool(BOARD) as trial_pool:
        task = asyncio.create_task(attempt(BLINK, build_cache, trial_pool=trial_pool))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await attempt(BLINK, build_cache, trial_pool=trial_pool)).ok


async def test_other_terms_get_a_fresh_board(build_cache: Path) -> None:
    async with TrialPool(BOARD) as trial_pool:
        trial = await attempt(BLINK, build_cache, replace(TrialOptions(), seed=7), trial_pool)
    assert trial.ok


async def test_a_program_that_crashes_the_whole_board_is_caught(build_cache: Path) -> None:
    source = """
    #include <fcntl.h>
    __attribute__((import_module("env"), import_name("ioctl"))) int raw_ioctl(int fd, int command, ...);
    struct { unsigned version, capacity, used; unsigned short type, size; unsigned place; } sequence = {
        1, 1, 1, 1, 4, 0x7ffffff0
    };
    void on_init(void) { raw_ioctl(open("/dev/gpio/2", O_RDWR), GPIOCSCFG, &sequence); }
    """.replace("GPIOCSCFG", str(int(IoctlCommand.GPIOCSCFG)))
    trial = await attempt(source, build_cache)
    assert not trial.ok
    assert trial.error is not None
    assert trial.error.startswith("it crashed the whole board: Guru Meditation Error")


async def test_a_refused_allocation_is_warned_about(build_cache: Path) -> None:
    source = """
    #include <stdlib.h>
    #include "microclaw.h"
    void *kept;
    void on_init(void) { kept = malloc(9000); gpio_set(gpio_open(2, GPIO_OUT), kept == 0); }
    """
    trial = await attempt(source, build_cache)
    assert trial.ok
    assert trial.warnings == ("it asked for 9,000 B and its heap of 8,192 B had no room",)


@pytest.mark.parametrize(
    ("text", "ms"),
    [("10s", 10_000), ("500ms", 500), ("2min", 120_000), ("2m", 120_000), ("1h", 3_600_000), ("1.5", 1_500)],
)
def test_durations_are_read_in_every_unit(text: str, ms: float) -> None:
    assert parse_duration_ms(text) == ms


@pytest.mark.parametrize("text", ["", "s", "-1s", "ten", "2d", "25h", "0s", "1e9s", "nan", "1ss"])
def test_other_durations_are_refused_with_a_next_step(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_duration_ms(text)
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("1=1@2s", TrialInput(1, 1, 2_000)),
        ("0=0", TrialInput(0, 0, 0)),
        ("12=1@0", TrialInput(12, 1, 0)),
        ("3=0@250ms", TrialInput(3, 0, 250)),
    ],
)
def test_inputs_are_pin_level_and_time(text: str, given: TrialInput) -> None:
    assert parse_input(text) == given


@pytest.mark.parametrize("text", ["", "1", "1=2", "a=1", "1=1@", "1=1@soon", "1=1@-2s", "=1"])
def test_other_inputs_are_refused_with_a_next_step(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_input(text)
    assert caught.value.next_step


@pytest.mark.parametrize(("every_ms", "board_ms"), [(1_000, 10_000), (60_000, 320_000), (1_800_000, 7_200_001)])
async def test_a_slow_program_is_tried_over_two_periods(
    build_cache: Path, monkeypatch: pytest.MonkeyPatch, every_ms: int, board_ms: float
) -> None:
    """The board's time is doubled until two periods of the pin are over."""
    monkeypatch.setattr(trial_run, "_SLOW_HOST_S", 60.0)  # of a busy machine
    source = (
        '#include "microclaw.h"\nstatic int led;\nstatic void flip(void) { gpio_toggle(led); }\n'
        f"void on_init(void) {{ led = gpio_open(2, GPIO_OUT); every({every_ms}, flip); }}"
    )
    trial = await attempt(source, build_cache, TrialOptions(slow_ms=7_200_000.0))
    assert trial.ok
    assert len(trial.edges) >= TWO_PERIODS
    assert trial.board_ms <= max(board_ms, 8 * every_ms)
    assert (trial.board_ms == 10_000) == (every_ms == 1_000)


async def test_a_pin_that_is_set_once_is_told_as_of_the_usual_time(build_cache: Path) -> None:
    source = '#include "microclaw.h"\nvoid on_init(void) { gpio_set(gpio_open(2, GPIO_OUT), 1); }'
    trial = await attempt(source, build_cache, TrialOptions(slow_ms=7_200_000.0))
    assert (trial.board_ms, len(trial.edges)) == (10_000, 1)


async def test_what_a_program_printed_last_stands_apart_from_the_word_of_its_end(build_cache: Path) -> None:
    source = '#include "microclaw.h"\nint main(void) { delay(1); printf("no line feed"); return 3; }'
    trial = await attempt(source, build_cache)
    assert (trial.log, trial.ended) == (("no line feed",), "returned")


def test_the_example_of_the_help_is_taken() -> None:
    assert parse_input("14=1@2s") == TrialInput(14, 1, 2_000)
    assert parse_input("1=2.5V@2s") == AdcStimulus(1, 2.5, 2_000)
    with pytest.raises(ConfigError, match=r"takes no 9 V") as caught:
        parse_input("1=9V@3s")
    assert caught.value.next_step == "give 0 to 3.3 V"
