"""A program that blocks in `main` becomes event-driven, or is told why not: rules of the build and of the shim."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.transports.wasmachine_events import event_client
from tests.wasm.instance import Clockwork

from microclaw.apps.trial import TrialOptions, try_image
from microclaw.boards.profile import BoardProfile
from microclaw.devices.calls import AppRequest, AppUninstall
from microclaw.errors import BuildError
from microclaw.wasm.wasm_image import Image

HEAD = "#include <stdio.h>\n#include <stdlib.h>\n#include <unistd.h>\n"
SLEEPER = HEAD + 'int main(void) {\n    for (;;) {\n        puts("tick");\n        sleep(1);\n    }\n}\n'


@pytest.fixture
def without_binaryen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


# What is built


async def test_sleeping_program_is_eventful_and_says_both_sizes(compile_c: Any) -> None:
    image = await compile_c(SLEEPER)
    assert image.eventful
    assert 200 < image.compiled_bytes < image.size_bytes <= image.compiled_bytes + 2150
    assert {"on_init", "on_timer_callback", "on_destroy"} <= set(image.exports)
    assert all(i.module == "env" for i in image.imports)
    assert not [name for name in image.exports if name.startswith("asyncify")]


OWN_CALLBACK = "#include <wasm_app.h>\nvoid on_timer_callback(timer_id_t t) { (void)t; }\n"
NAPS = "static void nap(void) { sleep(1); }\n"


@pytest.mark.parametrize(
    ("source", "eventful"),
    [
        (f"{NAPS}void (*volatile run)(void) = nap;\nint main(void) {{ run(); return 0; }}", True),
        (f"{NAPS}void on_init(void) {{ for (;;) nap(); }}", True),
        ('void on_init(void) { puts("once"); }\nint main(void) { on_init(); sleep(1); return 0; }', True),
        (f"{OWN_CALLBACK}int main(void) {{ return 0; }}", False),
        (  # a pointer reaches functions of its type and no others
            "int nap(int n) { sleep(1); return n; }\nint (*volatile other)(int) = nap;\n"
            'static void leaf(void) { puts("x"); }\nvoid (*volatile run)(void) = leaf;\n'
            "int main(void) { run(); return other != 0; }",
            False,
        ),
    ],
)
async def test_what_waits_is_made_eventful(compile_c: Any, source: str, eventful: bool) -> None:
    image = await compile_c(HEAD + source)
    assert (image.eventful, image.warnings) == (eventful, ())


async def test_without_binaryen_only_what_must_become_event_driven_is_refused(
    compile_c: Any, without_binaryen: None
) -> None:
    for source in ("void on_init(void) { usleep(50000); }", 'int main(void) { puts("no sleep"); exit(1); }'):
        assert not (await compile_c(HEAD + source)).eventful
    with pytest.raises(BuildError) as caught:
        await compile_c(SLEEPER.replace("tick", "tock"))
    (error,) = caught.value.diagnostics
    assert error.line == 7
    assert error.hint


# What runs


RUNNING = {
    # As many sleeps as the timer race of stock firmware loses one of within seconds, when a one-shot is restarted.
    "ten_thousand_sleeps": (
        'int main(void) { int i; for (i = 0; i < 10000; i++) usleep(5000); printf("%d sleeps\\n", i); return 7; }',
        75_000,
        ["10000 sleeps"],
        ["ended: main returned 7"],
    ),
    "names_that_the_pass_and_the_shim_use": (
        "int main_returned = 5, shim = 9, armed, phase;\n"
        'void asyncify_start_unwind(int x) { printf("mine %d\\n", x); }\n'
        "int asyncify_get_state(void) { return 77; }\n"
        'void arm(int x) { printf("arm %d\\n", x); } int is_due(int x) { return x; }\n'
        "int main(void) { for (int i = 0; i < 2; i++) { asyncify_start_unwind(main_returned + i + shim);"
        " arm(asyncify_get_state()); usleep(10000); } return is_due(phase + armed); }",
        1000,
        ["mine 14", "arm 77", "mine 15", "arm 77"],
        ["ended: main returned 0"],
    ),
    "own_sleep_keeps_its_meaning": (
        'unsigned sleep(unsigned s) { printf("own sleep %u\\n", s); return 0; }\n'
        "int main(void) { sleep(3); return sleep(4); }",
        1000,
        ["own sleep 3", "own sleep 4"],
        [],
    ),
    "shortest_sleeps_and_a_negative_one": (
        'int main(void) { usleep(0); puts("a"); sleep(0); puts("b"); usleep(1); puts("c"); sleep(-1); puts("d"); }',
        3_600_000,
        ["a", "b", "c"],
        [],
    ),
    "deep_recursion_is_told_and_over": (
        'static int down(int n) { int r = 0; if (n == 0) { puts("bottom"); sleep(1); return 1; } r = down(n - 1);'
        ' if (n > 198) printf("up %d\\n", n); return r + n; }\n'
        'int main(void) { printf("%d\\n", down(9)); printf("%d\\n", down(200)); return 0; }',
        5000,
        ["bottom", "46", "bottom"],
        ["ended: too many nested calls around a sleep"],
    ),
    "exception_after_a_sleep_ends_it": (
        'volatile int zero;\nint main(void) { puts("a"); sleep(1); printf("%d\\n", 5 / zero); return 0; }',
        5000,
        ["a", "line 5 column 56: a division by 0 of 'int'", "Got exception running WASM code: Exception: unreachable"],
        ["ended by the exception above"],
    ),
    "tasks_go_on_beside_a_sleeping_main": (
        '#include "microclaw.h"\nstatic void task(void) { puts("task"); }\n'
        'int main(void) { every(700, task); for (int i = 0; i < 3; i++) { puts("main"); sleep(1); } return 0; }',
        3_600,
        ["main", "task", "main", "task", "main", "task", "task", "task"],
        ["ended: main returned 0"],
    ),
    "sleep_in_a_callback_returns_at_once_and_is_told_once": (
        '#include "microclaw.h"\nstatic void task(void) { printf("left %u\\n", sleep(5)); }\n'
        "void (*volatile chosen)(void) = task;\nint main(void) { every(300, chosen); sleep(1); return 0; }",
        1_300,
        ["left 5"] * 4,
        ["only main can sleep, callbacks go on at once", "ended: main returned 0"],
    ),
    "exit_in_a_callback_ends_main_and_every_task": (
        '#include "microclaw.h"\nstatic void task(void) { puts("task"); exit(4); }\n'
        'int main(void) { every(1500, task); for (;;) { puts("main"); sleep(1); } }',
        9_000,
        ["main", "main", "task", "Got exception running WASM code: Exception: env.exit(4)"],
        [],
    ),
}


@pytest.mark.parametrize("name", RUNNING)
async def test_runs_as_written(compile_c: Any, on_board: Any, name: str) -> None:
    source, ms, own, shim = RUNNING[name]
    ran = await on_board.run(await compile_c(HEAD + source, name=name), ms)
    assert (ran.own, ran.shim) == (own, shim)


BACKSTOP = 3
LATE_MS = 50  # before, the backstop leaves a pause to its own timer


async def test_sleep_longer_than_the_tick_can_tell_lasts_as_long_as_asked(compile_c: Any) -> None:
    board = Clockwork((await compile_c(HEAD + 'int main(void) { sleep(3000000); puts("x"); return 0; }')).wasm)
    board.now_ms = 2**32 - 1000
    end_ms = board.now_ms + 3_000_000_000
    board.call("on_init")
    while board.now_ms < end_ms - 1:
        board.now_ms = min(board.now_ms + 2**28, end_ms - 1)
        board.call("on_timer_callback", BACKSTOP)
        assert board.lines == 0
    assert all(0 < interval < 2**31 for _, interval in board.armed)
    board.now_ms += 1 + LATE_MS
    board.call("on_timer_callback", BACKSTOP)
    assert board.lines == 1


async def test_backstop_makes_up_for_a_lost_one_shot_and_early_or_late_callbacks_do_no_harm(compile_c: Any) -> None:
    source = 'int main(void) { usleep(20000); puts("a"); sleep(1); puts("b"); sleep(1); return 0; }'
    board = Clockwork((await compile_c(HEAD + source)).wasm)
    board.call("on_init")
    first = board.armed[-1][0]
    board.now_ms = 500
    board.call("on_timer_callback", BACKSTOP)
    assert board.lines == 1
    board.call("on_timer_callback", first)  # the lost one, late
    assert board.lines == 1
    second, interval = board.armed[-1]
    assert (second != first, interval) == (True, 1000)
    board.now_ms = 1499
    board.call("on_timer_callback", second)  # a millisecond early: armed again, with the other timer
    assert board.lines == 1
    assert board.armed[-1] == (first, 1)
    board.call("on_timer_callback", 77)  # nobody's
    board.now_ms = 1500
    board.call("on_timer_callback", first)
    assert board.lines == 2


async def test_fewer_than_three_timers_are_told(compile_c: Any, on_board: Any) -> None:
    ran = await on_board.run(await compile_c(SLEEPER), 3_000, timers=2)
    assert ran.own == ["tick"]
    assert ran.shim[0] == "sleeping takes 3 timers"


ANSWERING = """#include <string.h>
#include <wasm_app.h>
static int asked;
/* Answers CONTENT without a body, to the message id and sender of the request (wire/wasmachine/request.py). */
void on_request(char *request, int size) {
    char answer[16] = {1, 69, 0, 99};
    memcpy(answer + 4, request + 4, 8);
    printf("request %d, %d\\n", ++asked, size > 18);
    wasm_response_send(answer, sizeof answer);
}
int main(void) {
    int local[8], sum = 0;
    wasm_register_resource("/a");
    for (int i = 0; i < 8; i++) {
        local[i] = i * i;
        sleep(1);
    }
    for (int i = 0; i < 8; i++) {
        sum += local[i];
    }
    printf("%d, %d\\n", sum, asked);
    return 0;
}
"""


async def test_requests_are_answered_while_main_is_paused(compile_c: Any, on_board: Any) -> None:
    image: Image = await compile_c(HEAD + ANSWERING, name="asked")
    before = (await on_board.board.control.log()).cursor
    await on_board.install(image)
    for _ in range(3):
        await on_board.board.control.advance(1_500)
        reply = await on_board.board.wasmachine.call(AppRequest("asked", "/a", {}), 5)
        assert reply.status == 69
    await on_board.board.control.advance(20_000)
    await on_board.board.wasmachine.call(AppUninstall("asked"), 5)
    ran = await on_board.printed("asked", before)
    assert ran.own == ["request 1, 1", "request 2, 1", "request 3, 1", "140, 3"]


async def test_end_is_an_event_for_those_who_asked(compile_c: Any, on_board: Any) -> None:
    await on_board.install(await compile_c(HEAD + "int main(void) { sleep(1); return 0; }", name="short"))
    await on_board.board.wasmachine.close()
    async with event_client(on_board.board.wasmachine.endpoint) as client:
        assert (await client.watch("/ended")).status == 69
        await on_board.board.control.advance(2_000)
        event = await client.next_event(5.0)
    assert event is not None
    assert event.url == "ended"


async def test_sleeping_program_can_be_removed_at_any_time(compile_c: Any, on_board: Any) -> None:
    image = await compile_c(SLEEPER + 'void on_destroy(void) { puts("bye"); }\n')
    for ms in (0, 1, 999, 1_000, 1_001, 2_500):
        ran = await on_board.run(image, ms)
        assert ran.all[-1] == "bye"
        assert ran.own[:-1] == ["tick"] * (ms // 1000 + 1)


# What the trial makes of it


@pytest.mark.parametrize(
    ("source", "ended", "error"),
    [
        ('int main(void) { sleep(1); puts("x"); return 0; }', "returned", None),
        ('int main(void) { sleep(1); puts("x"); exit(0); }', "exited", None),
        (RUNNING["deep_recursion_is_told_and_over"][0], "running", "too many nested calls around a sleep"),
    ],
)
async def test_trial_knows_how_a_sleeping_program_ended(
    compile_c: Any, board: BoardProfile, source: str, ended: str, error: str | None
) -> None:
    trial = await try_image(await compile_c(HEAD + source), board, TrialOptions(for_ms=5_000))
    assert trial.ended == ended
    assert trial.ok is (error is None)
    assert error is None or (trial.error or "").startswith(error)
    assert not [line for line in trial.log if line.startswith("microclaw")]
