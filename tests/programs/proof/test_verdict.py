from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec import structs

from microclaw.devices.registry.calls import LogLine, PwmChange
from microclaw.events import Edge
from microclaw.hardware.boards.reader import load_board
from microclaw.programs.proof.edge_comparison import INVERTED, Agreement, compare, compare_pwm
from microclaw.programs.proof.record import Record
from microclaw.programs.proof.traps import with_array_name
from microclaw.programs.proof.verdict import judge

BOARD = load_board("virtual")
GOOD = Record(edges=(Edge(0, 2, 1),), roles={2: "output"}, peak_heap_bytes=100, board_ms=10_000)


FINE: list[tuple[dict[str, Any], str]] = [
    ({}, "running"),
    ({"edges": (), "roles": {1: "input"}}, "running"),  # it waits for an input
    ({"state": "exited", "is_python": True}, "exited"),  # by sys.exit
]
DHT = LogLine(5, None, "this board has no DHT11 on pin 4")
SCAN = LogLine(5, None, "this board has no I2C device on these pins")


BROKEN = LogLine(5, None, "a part of this board failed: btn1 (button): ZeroDivisionError: division by zero")


def ended_by(exception: str, *lines: LogLine) -> dict[str, Any]:
    """Return the fields of a record whose program ended by this exception after these lines."""
    trap = f'Traceback (most recent call last):\n  File "part.py", line 4, in <module>\n{exception}'
    return {"state": "trapped", "is_python": True, "trap": trap, "lines": lines}


BY_ABSENCE = ended_by("OSError: 116", DHT)
FAULTS_BESIDE_ABSENCE: list[dict[str, Any]] = [
    {**BY_ABSENCE, "roles": {27: "output"}},
    {"is_python": True, "refused": "native code in .mpy unsupported", "roles": {27: "output"}},
    {**BY_ABSENCE, "longest_call_ms": 900.0},
    ended_by("OSError: 116", DHT, LogLine(900, "part", "dark")),  # it went on without the part
    *(ended_by(fault, DHT) for fault in ("IndexError: list index out of range", "RuntimeError: x", "Exception: x")),
    ended_by("ImportError: no module named 'mine'", LogLine(5, None, "this board has no machine.DAC")),
    ended_by("IndexError: list index out of range", SCAN),
]
USELESS: list[dict[str, Any]] = [
    {"state": "trapped", "trap": "Exception: unreachable"},
    {"trap": "Exception: integer divide by zero"},  # in a callback
    {"state": "exited", "trap": "env.exit(0)"},
    {"stuck": True},
    {"stuck": True, "board_ms": 0},
    {"state": None},
    {"refused": "invalid WASM version."},
    *(
        {"state": "loaded", "lines": (LogLine(0, None, line),)}
        for line in ("warning: failed to link import function (env, wasm_mqtt_init)", "Cannot find function on_init().")
    ),
    {"roles": {27: "output"}},
    *(
        {"is_python": True, **change}
        for change in ({"stuck": True}, {"state": "stopped"}, {"rebooted": True}, {"longest_call_ms": 900.0})
    ),
]


@pytest.mark.parametrize("change", FAULTS_BESIDE_ABSENCE)
def test_a_fault_beside_an_absent_part_stays_one(change: dict[str, Any]) -> None:
    verdict = judge(structs.replace(GOOD, **change), BOARD, heap_bytes=8192)
    assert (verdict.ok, verdict.untried) == (False, None)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("strcpy(name, text);", "strcpy writes 17 bytes, name has 8"),
        ('snprintf(t, sizeof t, "x"); strcpy(name, t);', "strcpy writes 17 bytes, 8 fit"),
    ],
)
def test_an_array_is_named_only_if_its_line_has_one_writer(line: str, words: str) -> None:
    error = "it trapped at line 1, in main: strcpy writes 17 bytes, 8 fit"
    assert with_array_name(error, line) == f"it trapped at line 1, in main: {words}"


@pytest.mark.parametrize(("change", "ended"), FINE)
def test_a_program_with_effect_is_fine(change: dict[str, Any], ended: str) -> None:
    verdict = judge(structs.replace(GOOD, **change), BOARD, heap_bytes=8192)
    assert (verdict.ok, verdict.ended, verdict.error, verdict.warnings) == (True, ended, None, ())


@pytest.mark.parametrize("change", USELESS)
def test_a_useless_program_fails_with_a_next_step_and_python_has_none_of_c(change: dict[str, Any]) -> None:
    verdict = judge(structs.replace(GOOD, **change), BOARD, heap_bytes=8192)
    assert not verdict.ok
    assert verdict.error
    assert verdict.next_step
    assert (verdict.ended == "trapped") == str(change.get("trap")).startswith("Exception")
    assert "is_python" not in change or not re.search(r"delay\(|main|microclaw\.h|ioctl", verdict.next_step)


def blink(pin: int, every_ms: float, count: int, *, start_ms: float = 0.0, level: int = 1) -> tuple[Edge, ...]:
    return tuple(Edge(start_ms + i * every_ms, pin, (level + i) % 2) for i in range(count))


@pytest.mark.parametrize(
    ("expected", "seen", "agrees"),
    [
        (blink(2, 500, 4), blink(2, 510, 3, start_ms=40), True),  # a late board
        (blink(2, 500, 4), blink(2, 560, 4), False),  # more than a tenth off
        (blink(2, 500, 4), (), False),
        (blink(2, 10, 2), blink(2, 30, 2), True),  # short gaps allow for a busy host
        # High before: aligned by its level.
        ((Edge(0, 2, 1), Edge(100, 2, 0), Edge(1000, 2, 1)), (Edge(130, 2, 0), Edge(1030, 2, 1)), True),
    ],
)
def test_a_rhythm_agrees_within_a_tenth(expected: Sequence[Edge], seen: Sequence[Edge], agrees: bool) -> None:
    found = compare(expected, seen)
    assert found.agrees == agrees
    assert agrees or found.difference


def test_a_board_that_was_held_up_once_more_is_judged_by_its_last_edges() -> None:
    """A small board reads in modules while the program runs."""
    expected = [Edge(250.0 * i, 2, 1 - i % 2) for i in range(20)]
    gaps = [520.0, 250.0, 250.0, 330.0, 250.0, 250.0, 250.0, 250.0]
    seen = [Edge(t_ms, 2, 1 - i % 2) for i, t_ms in enumerate(itertools.accumulate(gaps, initial=0.0))]
    assert compare(expected, seen).agrees
    assert not compare(expected, seen[:-1]).agrees
    slower = [Edge(edge.t_ms * 1.2, 2, edge.level) for edge in seen]
    assert not compare(expected, slower).agrees


def toggled(gaps_ms: Sequence[float], count: int, *, begins: int) -> list[Edge]:
    """`count` edges with these gaps over and over, the first one to the level `begins`."""
    times = itertools.accumulate(itertools.chain([5.0], itertools.cycle(gaps_ms)))
    return [Edge(t_ms, 2, begins ^ (i % 2)) for i, t_ms in enumerate(itertools.islice(times, count))]


@pytest.mark.parametrize("gaps_ms", [(100, 200, 100, 600), (100, 900), (100, 100, 100, 600)])
def test_a_rhythm_with_every_level_inverted_is_another_one(gaps_ms: tuple[float, ...]) -> None:
    expected = toggled(gaps_ms, 40, begins=1)
    for count in range(5, 12):
        found = compare(expected, toggled(gaps_ms, count, begins=0))
        assert (found.agrees, found.difference) == (False, INVERTED), count
    is_high_before = [structs.replace(edge, t_ms=edge.t_ms + 30.0) for edge in expected[1:8]]
    assert compare(expected, is_high_before) == Agreement(True, first=1)


def test_a_tone_of_another_frequency_is_not_the_one_of_the_trial() -> None:
    def tone(hz: int) -> list[PwmChange]:
        return [PwmChange(0, 4, 0, hz), PwmChange(1, 4, 128, hz)]

    assert compare_pwm(tone(440), tone(441)).agrees
    assert not compare_pwm(tone(440), tone(880)).agrees


def test_a_part_whose_model_failed_is_named_in_the_place_of_the_program() -> None:
    for fields in ({"lines": (BROKEN,)}, ended_by("OSError: 19", BROKEN), ended_by("IndexError: x", BROKEN)):
        verdict = judge(structs.replace(GOOD, **fields), BOARD, heap_bytes=8192)
        assert verdict.ok
        assert "btn1 (button)" in str(verdict.untried)
    for fault in ({"stuck": True}, {"roles": {27: "output"}}):
        verdict = judge(structs.replace(GOOD, lines=(BROKEN,), **fault), BOARD, heap_bytes=8192)
        assert not verdict.ok
