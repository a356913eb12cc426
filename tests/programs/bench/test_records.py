"""What the trials of a board's programs say of its parts: the newest one that moved a part counts."""

from __future__ import annotations

from microclaw.devices.registry.calls import AppRuns, AppState
from microclaw.hardware.parts.wiring import make_part
from microclaw.programs.bench.records import BoardRecord, TrialStates, follows_trial
from microclaw.programs.bench.states import KnownNumber, TrialView
from microclaw.programs.changes.change_log import DesiredApp
from microclaw.programs.proof.last_states import LastStates
from microclaw.wire.board_replies import PartScreen

SCREEN = PartScreen("text", 5, 1, "", ".")
NEWER = TrialStates(LastStates(values={"motor": {"steps": 7.0}}), at_ms=20)
OLDER = TrialStates(
    LastStates(
        values={"motor": {"steps": 1.0, "angle": 2.0}},
        screens={"lcd": SCREEN},
        texts={"lcd": "Hello"},
        colors={"7": ["ff0000"]},
    ),
    at_ms=10,
)
RECORD = BoardRecord(trials=(NEWER, OLDER))
MOTOR = make_part("motor", "stepper_uln2003", pins={"in1": 15, "in2": 16, "in3": 17, "in4": 18})


def test_the_newest_trial_that_moved_a_part_counts() -> None:
    assert RECORD.trial_number(MOTOR, "steps") == KnownNumber(7.0, "trial", 20)
    assert RECORD.trial_number(MOTOR, "angle") == KnownNumber(2.0, "trial", 10)
    assert RECORD.trial_number(MOTOR, "lost") is None


def test_pictures_are_found_by_the_part_and_colors_by_the_pin() -> None:
    lcd = make_part("lcd", "lcd1602", pins={})
    strip = make_part("strip", "ws2812", pins={"data": 7})
    other = make_part("other", "ws2812", pins={"data": 8})
    assert RECORD.trial_view(lcd) == TrialView(10, screen=SCREEN, text="Hello")
    assert RECORD.trial_view(strip) == TrialView(10, colors=["ff0000"])
    assert RECORD.trial_view(other) is None


def test_only_a_program_that_is_on_the_board_shows_what_its_trial_showed() -> None:
    def follows(state: str | None, *, waits: bool = False, tried_end: str = "running", last_how: str = "") -> bool:
        app = DesiredApp(
            device_id="d",
            name="show",
            sha256="0",
            heap_bytes=0,
            timers=0,
            watchdog_ms=0,
            pins=(),
            since_ms=0,
            waits=waits,
        )
        states: list[AppState] = []
        if state is not None:
            runs = AppRuns(1_000, 0, runs=1, missed=0, last_how=last_how) if last_how else None
            states.append(AppState("show", state, None, 0, 0, 0, (), runs))
        return follows_trial(app, states, tried_end)

    assert [follows(state) for state in ("running", "waiting", "returned")] == [True, True, True]
    assert [follows(state) for state in ("trapped", "stopped", "loaded", None)] == [False] * 4
    assert not follows("running", waits=True)
    assert not follows("exited")
    assert follows("exited", tried_end="exited")
    assert not follows("waiting", last_how="exited")
    assert follows("waiting", last_how="returned")
