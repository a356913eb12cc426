"""analogWrite on more pins than the hardware's PWM has: the others are switched by a timer, with the right average."""

from __future__ import annotations

from typing import Any

import pytest

from microclaw.apps.trial import TrialOptions, try_image
from microclaw.boards.profile import BoardProfile

DUTIES = {2: 128, 4: 64, 5: 200, 6: 26, 7: 64, 15: 128, 16: 230, 17: 0, 18: 255}
MANY = "void setup() {\n" + "".join(f" analogWrite({pin}, {duty});\n" for pin, duty in DUTIES.items()) + "}\n"
LOOPS = {"sleeps": "void loop() { delay(1000); }\n", "returns": ""}
HELD_MS, WINDOW_MS = 1000, 8000


def _shares(edges: Any, pin: int) -> float:
    """How many percent of the window a pin was high."""
    level, since, high = 0, 0.0, 0.0
    for edge in [edge for edge in edges if edge.pin == pin]:
        begin, end = max(since, HELD_MS), min(max(edge.t_ms, HELD_MS), WINDOW_MS)
        high += level * max(0.0, end - begin)
        level, since = edge.level, edge.t_ms
    high += level * (WINDOW_MS - max(since, HELD_MS))
    return high / (WINDOW_MS - HELD_MS) * 100


@pytest.mark.parametrize("name", LOOPS)
async def test_every_pin_has_its_duty(compile_c: Any, board: BoardProfile, name: str) -> None:
    source = (MANY + LOOPS["sleeps"]) if name == "sleeps" else MANY.replace("void setup", "int main") + "\n"
    image = await compile_c(f"#include <Arduino.h>\n{source}", language="sketch" if name == "sleeps" else "c++")
    trial = await try_image(image, board, TrialOptions(for_ms=WINDOW_MS))
    assert trial.ok, trial.error
    by_hardware = {change.pin for change in trial.pwm}
    assert by_hardware == set(list(DUTIES)[:3])
    for pin, duty in list(DUTIES.items())[3:]:
        assert abs(_shares(trial.edges, pin) - duty / 2.55) <= 5, pin


async def test_pin_can_be_written_digitally_and_again_by_duty(compile_c: Any, board: BoardProfile) -> None:
    source = (
        MANY + "void loop() { delay(3000); digitalWrite(7, HIGH); delay(2000); analogWrite(7, 128); delay(9000); }\n"
    )
    trial = await try_image(await compile_c(source, language="sketch"), board, TrialOptions(for_ms=7000))
    assert trial.ok, trial.error
    during = [edge for edge in trial.edges if edge.pin == 7 and 3020 < edge.t_ms < 4980]
    after = [edge for edge in trial.edges if edge.pin == 7 and edge.t_ms > 5100]
    assert during == []
    assert len(after) > 100


async def test_three_pins_cost_nothing_more(compile_c: Any) -> None:
    source = "void setup() { analogWrite(2, 10); analogWrite(4, 20); analogWrite(5, 30); }\nvoid loop() { delay(9); }\n"
    image = await compile_c(source, language="sketch")
    assert image.warnings == ()


async def test_pins_from_an_array_may_be_more_than_three(compile_c: Any) -> None:
    source = "int pins[] = {2, 4, 5, 6};\nvoid setup() { for (int p : pins) analogWrite(p, 90); }\nvoid loop() {}\n"
    assert any("switched by a timer" in w.message for w in (await compile_c(source, language="sketch")).warnings)


async def test_tone_and_servo_take_timers_from_pins_that_software_can_switch(
    compile_c: Any, board: BoardProfile
) -> None:
    source = (
        "#include <Servo.h>\nServo arm;\nvoid setup() { analogWrite(4, 64); analogWrite(5, 128); analogWrite(6, 200);\n"
        " tone(8, 440); arm.attach(7); arm.write(90); }\nvoid loop() { delay(1000); }\n"
    )
    image = await compile_c(source, language="sketch")
    trial = await try_image(image, board, TrialOptions(for_ms=WINDOW_MS))
    assert trial.ok, trial.error
    assert {(change.pin, change.frequency_hz) for change in trial.pwm if change.duty} >= {(8, 440), (7, 50), (4, 1000)}
    for pin, duty in ((5, 128), (6, 200)):
        assert abs(_shares(trial.edges, pin) - duty / 2.55) <= 5, pin


@pytest.mark.parametrize(
    "setup",
    [
        "for (int i = 0; i < 4; i++) all[i].attach(4 + i);",
        "for (int i = 0; i < 3; i++) all[i].attach(4 + i); tone(8, 440);",
        "tone(8, 20000);",
    ],
)
async def test_servo_or_tone_without_a_timer_fails_the_trial(compile_c: Any, board: BoardProfile, setup: str) -> None:
    source = f"#include <Servo.h>\nServo all[4];\nvoid setup() {{ {setup} }}\nvoid loop() {{ delay(1000); }}\n"
    trial = await try_image(await compile_c(source, language="sketch"), board, TrialOptions(for_ms=500))
    assert not trial.ok
