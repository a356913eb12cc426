"""Met expectations: where lines are missing, two pins move at one time stamp; rhythms, lights, servos."""

from __future__ import annotations

import pytest

from microclaw.devices.registry.calls import LedChange, LogLine, PwmChange
from microclaw.events import Edge, Evidence
from microclaw.programs.proof.colors import Rgb, colors_of
from microclaw.programs.proof.expectation_result import evaluate, seen_on_board
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.expectations import CheckResult
from microclaw.programs.proof.record import Record


def found(line: str, seen: Record) -> CheckResult:
    """The worst of a line's checks."""
    checks = parse_expectations(line).checks
    findings = [one.judge(seen, checks) for one in checks]
    return next((f for state in ("not met", "untried") for f in findings if f.state == state), findings[0])


def log(*lines: tuple[float, str], edges: tuple[Edge, ...] = ()) -> Record:
    return Record(board_ms=10_000.0, lines=tuple(LogLine(t, "app", text) for t, text in lines), edges=edges)


FLOOD = ((100.0, "a"), (120.0, "a"), (1_100.0, "(7 lines were left out)"), (1_200.0, "b"), (5_000.0, "late"))


@pytest.mark.parametrize(
    ("line", "state"),
    [
        ('log never ~ "ERROR.*"', "untried"),
        ('log never ~ "b"', "not met"),  # a line that was found
        ('log never ~ "ERROR.*" from 2 s', "met"),  # nothing is missing there
        ('log never ~ "ERROR.*" from 500 ms until 600 ms', "untried"),
        ('log 2 times ~ "a"', "untried"),
        ('log 1 times ~ "a"', "not met"),
        ('log 1 times ~ "late" from 2 s', "met"),
        ('log ~ "a"', "met"),
        ('log ~ "DONE"', "untried"),
        ('log ~ "DONE" from 2 s', "not met"),
        ('log every 1 s ~ "a|b|late"', "untried"),
    ],
)
def test_missing_lines_leave_untried_what_they_could_change(line: str, state: str) -> None:
    finding = found(line, log(*FLOOD))
    assert finding.state == state
    if state == "untried":
        assert finding.next_step


def test_a_line_behind_the_word_of_missing_ones_is_read_and_that_is_no_line_of_the_program() -> None:
    behind = log((100.0, "a"), (2_000.0, "(10 lines were left out) DONE"))
    for line, state in (('log ~ "DONE"', "met"), ('log never ~ "DONE"', "not met"), ('log never ~ "ERROR"', "untried")):
        assert found(line, behind).state == state
    assert found('log never ~ ".*left out.*"', log((50.0, "a"), (60.0, "(1 line was left out)"))).state == "untried"


def test_a_reaction_in_lines_is_untried_where_lines_are_missing() -> None:
    expect = 'when pin 5 rises: log ~ "on" within 100 ms'
    edges = (Edge(1_000.0, 5, 1), Edge(3_000.0, 5, 0))
    assert found(expect, log((1_010.0, "on"), edges=edges)).state == "met"
    assert found(expect, log((1_010.0, "on"), (2_000.0, "(2 lines were left out)"), edges=edges)).state == "untried"
    assert found(expect, log((10.0, "(2 lines were left out)"), (1_010.0, "on"), edges=edges)).state == "met"


def pins(*edges: tuple[float, int, int], outside: int | None = None) -> Record:
    if outside is None:
        bursts = {}
    else:
        bursts = {outside: ((edges[0][0], edges[0][0], 1),)}
    own, given = (tuple(Edge(*one) for one in edges if (one[1] == outside) == is_given) for is_given in (False, True))
    return Record(board_ms=4_000.0, edges=own, given=given, bursts=bursts)


INTERLOCK = "pin 7: never high while pin 8 high"


NEVER = "pin 7: never high from 1 s until 3 s"


@pytest.mark.parametrize(
    ("line", "seen", "state"),
    [
        # Both high within one time stamp, in the order of the record.
        (INTERLOCK, pins((5, 7, 1), (505, 8, 1), (505, 7, 0), (1_005, 8, 0)), "not met"),
        (INTERLOCK, pins((5, 7, 1), (505, 7, 0), (505, 8, 1), (1_005, 8, 0), (1_005, 7, 1)), "met"),
        (f"{INTERLOCK} for 1 ms", pins((5, 7, 1), (505, 8, 1), (505, 7, 0), (1_005, 8, 0)), "met"),
        (f"{INTERLOCK} for 1 ms", pins((5, 7, 1), (505, 8, 1), (506, 7, 0), (1_005, 8, 0)), "not met"),
        # An input that changes at the same moment is no overlap.
        (INTERLOCK, pins((5, 7, 1), (505, 8, 1), (505, 7, 0), (1_005, 8, 0), outside=8), "met"),
        # A pulse shorter than a time stamp is no steady level, but where the window ends.
        (NEVER, pins((5, 8, 1), (2_000, 7, 1), (2_000, 7, 0)), "not met"),
        (NEVER, pins((5, 8, 1), (3_000, 7, 1), (3_000, 7, 0)), "met"),
    ],
)
def test_two_changes_of_one_time_stamp(line: str, seen: Record, state: str) -> None:
    assert found(line, seen).state == state


def square_wave(half_ms: float, count: int = 400) -> Record:
    return Record(board_ms=half_ms * count, edges=tuple(Edge(n * half_ms, 2, n % 2) for n in range(1, count)))


@pytest.mark.parametrize(
    ("line", "half_ms", "state"),
    [
        ("pin 2: period 3.333 ms", 1.0, "not met"),  # 500 Hz in the place of 300
        ("pin 2: period 3.333 ms", 1.667, "met"),
        ("pin 2: high for 1.5 ms, low for 1.5 ms", 2.0, "not met"),
        ("pin 2: high for 1 ms, low for 1 ms", 1.02, "met"),
    ],
)
def test_a_rhythm_of_some_milliseconds_is_held_against_its_mean(line: str, half_ms: float, state: str) -> None:
    assert found(line, square_wave(half_ms)).state == state


@pytest.mark.parametrize(
    ("line", "state"),
    [
        ("pwm 5: 440 Hz", "not met"),
        ("pwm 5: 440 Hz from 500 ms until 900 ms", "met"),
        ("pwm 5: 523 Hz from 1500 ms", "met"),
        ("pwm 5: 523 Hz from 900 ms", "not met"),
    ],
)
def test_the_frequency_of_a_melody_is_the_one_of_its_window(line: str, state: str) -> None:
    notes = (PwmChange(400.0, 5, 128, 440), PwmChange(1_000.0, 5, 128, 523))
    assert found(line, Record(board_ms=2_000.0, pwm=notes)).state == state


def heartbeat(*rises_ms: float) -> Record:
    """Beats of 100 ms at these times of each second, for 10 s."""
    edges: list[Edge] = []
    for second in range(10):
        for rise_ms in rises_ms:
            begin_ms = 1_000.0 * second + rise_ms
            edges += [Edge(begin_ms, 4, 1), Edge(begin_ms + 100.0, 4, 0)]
    return Record(board_ms=10_000.0, edges=tuple(edges))


@pytest.mark.parametrize(
    ("line", "rises_ms", "state"),
    [
        ("pin 4: 2 pulses within 1 s", (10.0, 210.0), "met"),
        ("pin 4: 2 pulses within 1 s", (10.0,), "not met"),
        ("pin 4: 2 pulses within 1 s", (10.0, 210.0, 410.0), "not met"),
        ("pin 4: 3 pulses within 1.04 s", (10.0, 210.0, 410.0), "met"),
        ("pin 4: 2 pulses within 5 s", (10.0, 210.0), "untried"),  # not three of them in this time
    ],
)
def test_pulses_within_a_time_come_again_and_again(line: str, rises_ms: tuple[float, ...], state: str) -> None:
    assert found(line, heartbeat(*rises_ms)).state == state


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("pin 4: period 5 s until 9 s", "the line's own time of 9 s is too short for 3 periods of 5 s"),
        ("pin 4: period 5 s from 1 s until 9 s", "the line's own time of 8 s is too short for 3 periods of 5 s"),
        ("pin 4: period 5 s", "the trial is too short for 3 periods of 5 s"),
    ],
)
def test_what_is_too_short_for_a_period_is_named(line: str, text: str) -> None:
    assert (found(line, heartbeat(10.0)).state, found(line, heartbeat(10.0)).text) == ("untried", text)


@pytest.mark.parametrize(("until_ms", "board"), [(1_400.0, "seen on the board"), (700.0, "accepted only")])
def test_a_board_shows_a_heartbeat_with_one_whole_beat(until_ms: float, board: str) -> None:
    record = heartbeat(10.0, 210.0)
    results = evaluate(parse_expectations("pin 4: 2 pulses within 1 s"), record)
    counted = tuple(edge for edge in record.edges if edge.t_ms < until_ms)
    (result,) = seen_on_board(results, Evidence("counted", "edges", counted), frozenset({4}))
    assert result.board == board


@pytest.mark.parametrize(
    ("line", "seen", "tolerance"),
    [
        ("pin 4: high for 120 ms", heartbeat(10.0), "± 6 ms"),
        ("pin 4: period 2 s +- 10 %", heartbeat(10.0), "± 0.2 s"),
        ("pin 4: rises at 1.1 s", heartbeat(10.0), "± 0.055 s"),
        ("pin 4: duty 50 %", heartbeat(10.0), "± 5 points"),
        ("pwm 5: 50 % at 1 s", Record(board_ms=2_000.0, pwm=(PwmChange(0.0, 5, 0, 1000),)), "± 2.5 points"),
    ],
)
def test_a_line_that_is_not_met_says_its_tolerance(line: str, seen: Record, tolerance: str) -> None:
    assert found(line, seen).text.endswith(f"({tolerance} allowed)")


RED = (255, 0, 0)
GREEN = (0, 255, 0)
OFF = (0, 0, 0)


def leds(*changes: tuple[float, tuple[Rgb, ...]], pin: int = 48) -> Record:
    return Record(board_ms=10_000.0, leds=tuple(LedChange(t, pin, colors) for t, colors in changes))


def servo(*changes: tuple[float, float], hz: int = 50) -> Record:
    rows = (PwmChange(t, 4, round(us * hz / 1e6 * 255), hz, us) for t, us in changes)
    return Record(board_ms=10_000.0, pwm=tuple(rows))


BLINK = leds((10, (RED,)), (510, (OFF,)), (1010, (RED,)), (1510, (OFF,)))


@pytest.mark.parametrize(
    ("line", "seen", "state"),
    [
        ("led 48: red within 100 ms", leds((10, (RED,))), "met"),
        ("led 48: red within 100 ms", leds((10, ((40, 0, 0),))), "met"),
        ("led 48: 255,0,0 within 100 ms", leds((10, ((40, 0, 0),))), "not met"),
        ("led 48: 50,0,0 +- 1 % within 100 ms", leds((10, ((40, 0, 0),))), "not met"),
        ("led 48: red within 100 ms", leds((10, (GREEN,))), "not met"),
        ("led 48: red within 20 s", leds((10, (RED,))), "untried"),
        ("led 48: red at 1 s, off at 3 s", leds((10, (RED,)), (2000, (OFF,))), "met"),
        ("led 48: off at 1 s", leds((10, ((0, 3, 9),))), "not met"),
        ("led 48: red at 1 s", leds((10, (RED, OFF))), "not met"),
        ("led 48[0]: red at 1 s", leds((10, (RED, OFF))), "met"),
        ("led 48[2]: off at 1 s", leds((10, (RED, OFF))), "not met"),
        ("led 48: red for 500 ms, off for 500 ms", BLINK, "met"),
        ("led 48: red for 600 ms", BLINK, "not met"),
        ("led 48: red for 600 ms +- 20 %", BLINK, "met"),
        ("led 48: red for 500 ms", leds((10, (RED,)), (300, (RED,)), (510, (OFF,))), "met"),
        ("servo 4: 90 deg at 1 s", servo((5, 1500)), "met"),
        ("servo 4: 90 deg at 1 s", servo((5, 1600)), "not met"),
        ("servo 4: 0 deg at 1 s, 180 deg at 3 s", servo((5, 544), (2000, 2500)), "met"),
        ("servo 4: 2000 us +- 2 % at 1 s", servo((5, 2030)), "met"),
        ("servo 4: 2000 us +- 2 % at 1 s", servo((5, 2050)), "not met"),
        ("servo 4: 90 deg at 1 s", servo((5, 1500), hz=1000), "not met"),
        ("servo 4: off at 1 s", servo((5, 1500), (500, 0)), "met"),
        ("servo 4: 90 deg at 11 s", servo((5, 1500)), "untried"),
    ],
)
def test_a_line_of_lights_or_servos(line: str, seen: Record, state: str) -> None:
    assert found(line, seen).state == state


@pytest.mark.parametrize("color", [GREEN, RED])
def test_a_light_answers_a_button(color: Rgb) -> None:
    seen = Record(
        board_ms=10_000.0,
        given=(Edge(1000, 4, 0), Edge(2000, 4, 1)),
        leds=(LedChange(1020, 48, (color,)), LedChange(2020, 48, (OFF,))),
        bursts={4: ((1000, 1000, 0), (2000, 2000, 1))},
    )
    lines = "when pin 4 falls: led 48 -> green within 50 ms\nwhen pin 4 rises: led 48 -> off within 50 ms"
    asked = parse_expectations(lines).checks
    assert [one.judge(seen, asked).state for one in asked] == ["met" if color == GREEN else "not met", "met"]


def test_a_chain_is_sent_green_first() -> None:
    assert colors_of(bytes([1, 2, 3, 4, 5, 6])) == ((2, 1, 3), (5, 4, 6))
