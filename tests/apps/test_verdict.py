from __future__ import annotations

from dataclasses import replace

import pytest

from microclaw.apps.verdict import ConsoleLine, PinRole, Record, judge
from microclaw.boards.reader import load_board
from microclaw.events import Edge

BOARD = load_board("virtual")
GOOD = Record(
    state="running",
    error=None,
    lines=(),
    edges=(Edge(0, 2, 1),),
    pwm=(),
    pins=(PinRole(2, "output"),),
    peak_heap_bytes=100,
    peak_stack_bytes=0,
    board_ms=10_000,
)


def test_a_running_program_with_effect_is_fine() -> None:
    verdict = judge(GOOD, BOARD, heap_bytes=8192)
    assert (verdict.ok, verdict.ended, verdict.warnings) == (True, "running", ())


@pytest.mark.parametrize(
    ("record", "error"),
    [
        (replace(GOOD, state="trapped", error="Exception: unreachable"), "it trapped: Exception: unreachable"),
        (replace(GOOD, error="Exception: integer divide by zero"), "it trapped: Exception: integer divide by zero"),
        (replace(GOOD, state="exited", error="env.exit(0)"), "it ended itself with env.exit(0)"),
        (replace(GOOD, stuck=True), "it spins without giving up the CPU, after 10 s of board time"),
        (replace(GOOD, stuck=True, board_ms=0), "it spins without giving up the CPU, at its start"),
        (replace(GOOD, state=None), "the board does not list it"),
        (replace(GOOD, refused="invalid WASM version."), "the firmware does not take it: invalid WASM version."),
        (
            replace(
                GOOD,
                state="loaded",
                lines=(ConsoleLine(0, None, "warning: failed to link import function (env, wasm_mqtt_init)"),),
            ),
            "the firmware has no function wasm_mqtt_init",
        ),
        (
            replace(GOOD, state="loaded", lines=(ConsoleLine(0, None, "Cannot find function on_init()."),)),
            "the program has no on_init",
        ),
        (replace(GOOD, pins=(PinRole(27, "output"),)), "at run time it opened a pin it must not: pin 27"),
    ],
)
def test_a_useless_program_fails_with_the_reason_and_a_next_step(record: Record, error: str) -> None:
    verdict = judge(record, BOARD, heap_bytes=8192)
    assert not verdict.ok
    assert verdict.error is not None
    assert verdict.error.startswith(error)
    assert verdict.next_step


def test_no_effect_is_a_warning() -> None:
    verdict = judge(replace(GOOD, edges=(), pins=()), BOARD, heap_bytes=8192)
    assert verdict.ok
    assert verdict.warnings == ("no effect seen: no pin opened, nothing printed",)


def test_a_program_that_waits_for_an_input_has_effect() -> None:
    verdict = judge(replace(GOOD, edges=(), pins=(PinRole(1, "input"),)), BOARD, heap_bytes=8192)
    assert verdict.warnings == ()


def test_a_nearly_full_heap_is_a_warning() -> None:
    verdict = judge(replace(GOOD, peak_heap_bytes=8000), BOARD, heap_bytes=8192)
    assert verdict.warnings == ("its heap is nearly full: 8,000 of 8,192 B at the peak",)
