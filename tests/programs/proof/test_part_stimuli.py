"""Stimuli of parts: read from text, checked against the wiring, and a program that reacts to them in a trial."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.devices.registry.calls import LedChange, PwmChange
from microclaw.errors import ConfigError
from microclaw.events import Edge
from microclaw.hardware.boards.reader import load_board
from microclaw.hardware.parts.wiring import parse_wiring
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.proof.checks import At
from microclaw.programs.proof.colors import Color
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.expectations import LedColor, LevelState, PartShows, PwmDuty, ServoPulse, State
from microclaw.programs.proof.part_stimuli import with_settings
from microclaw.programs.proof.record import Record
from microclaw.programs.proof.screen_checks import ScreenShows
from microclaw.programs.proof.stimuli import PartSetting
from microclaw.programs.proof.trial import Trial, TrialOptions, try_image
from microclaw.programs.py.compile import build
from microclaw.wire.board_replies import ShownRow

BOARD = load_board("virtual")
WIRING = parse_wiring("""
[btn1]
part = "button"
pin = 6

[sonar-1]
part = "hcsr04"
trig = 4
echo = 5

[dht1]
part = "dht22"
data = 15

[outside]
part = "bme280"

[arm2]
part = "servo"
signal = 16

[pot1]
part = "potentiometer"
pin = 1
""")
CHECK = 'log ~ "x"\n'
LINES = [
    ("dht1.temperature = 31 at 4 s, 5 s", [("dht1", {"temperature": 31}, 4000), ("dht1", {"temperature": 31}, 5000)]),
    ("dht1.temperature = -4.5 °C at 4 s", [("dht1", {"temperature": -4.5}, 4000)]),
    ("dht1.humidity = 63 % at 1 min 2 s", [("dht1", {"humidity": 63}, 62000)]),
    ("sonar-1 = 80 cm at 3 s", [("sonar-1", {"distance": 80}, 3000)]),
    ("pot1 = 10 % at 3 s", [("pot1", {"position": 10}, 3000)]),
    ("btn1.pressed = 100 % at 3 s", [("btn1", {"pressed": 1}, 3000)]),
    ("sonar-1.distance = 80 at 3 s", [("sonar-1", {"distance": 80}, 3000)]),
    ("press btn1 at 2 s for 100 ms", [("btn1", {"pressed": 1}, 2000), ("btn1", {"pressed": 0}, 2100)]),
    ("press btn1 at 2 s", [("btn1", {"pressed": 1}, 2000), ("btn1", {"pressed": 0}, 2100)]),
    ("release btn1 at 3 s", [("btn1", {"pressed": 0}, 3000)]),
    ("i2c.bme280.temperature = 31 at 4 s", [("outside", {"temperature": 31}, 4000)]),
    ("i2c.ina219.voltage = 12 at 4 s", [("ina219", {"voltage": 12}, 4000)]),
]
WRONG = [
    ("arm: angle 90 at 1 s", "btn1, sonar-1"),
    ("btn1: angle 90 at 1 s", "nothing"),
    ("arm2: brightness 90 at 1 s", "angle"),
    ("arm2: angle 90 cm at 1 s", "give it in deg"),
    ("press btn2 at 2 s", "btn1, sonar-1, dht1, outside, arm2"),
    ("dht2.temperature = 3 at 2 s", "btn1, sonar-1, dht1, outside, arm2"),
    ("dht1.distance = 3 at 2 s", "temperature, humidity"),
    ("dht1 = 3 at 2 s", "temperature, humidity"),
    ("dht1.temperature = 200 at 2 s", "-40 to 80"),
    ("sonar-1 = 80 mm at 2 s", "cm"),
    ("dht1.temperature = 50 % at 2 s", "°C"),
    ("sonar-1 = 10 % at 2 s", "cm"),
    ("press dht1 at 2 s", "none"),
    ('press btn1 "5" at 2 s', "press btn1 at 2 s for 100 ms"),
    ("release btn1 at 2 s for 5 s", "release btn1 at 3 s"),
    ("i2c.mpu0.temperature = 3 at 2 s", "btn1"),
    ("i2c.bme280.voltage = 3 at 2 s", "temperature"),
]


@pytest.mark.parametrize(("line", "settings"), LINES)
def test_a_line_sets_values_of_the_part(line: str, settings: list[tuple[str, dict[str, float], float]]) -> None:
    expectations = with_settings(parse_expectations(CHECK + line), WIRING)
    made = [(s.part, s.values, s.at_ms) for s in expectations.stimuli if isinstance(s, PartSetting)]
    assert made == settings


def test_a_part_must_show_a_value_within_its_usual_slack_or_that_of_the_line() -> None:
    text = "arm2: angle 90 deg at 1 s, 2 s\narm2: angle 90 +- 1 at 1 s"
    usual, exact = with_settings(parse_expectations(text), WIRING).lines
    seen = Record(board_ms=3000, shown=(ShownRow(500, "arm2", "angle", 93.0),), edges=(Edge(1, 16, 1),))
    assert [check.judge(seen, ()).state for check in usual.checks] == ["met", "met"]
    assert [check.judge(seen, ()).text for check in exact.checks] == ["arm2 shows angle 93 then (± 1 allowed)"]
    assert exact.checks[0].judge(Record(board_ms=3000), ()).text == "arm2 shows no angle"


STATES = [
    LevelState(16, 1),
    PwmDuty(16, 90, 2),
    LedColor(16, None, Color("red")),
    ServoPulse(16, (1500,), 50),
    PartShows("arm2", "angle", 90),
]


@pytest.mark.parametrize("state", STATES, ids=lambda state: type(state).__name__)
def test_no_state_has_a_value_from_the_future(state: State) -> None:
    seen = Record(
        board_ms=10_000,
        edges=(Edge(5000, 16, 1),),
        pwm=(PwmChange(5000, 16, 230, 50, 1500),),
        leds=(LedChange(5000, 16, ((255, 0, 0),)),),
        shown=(ShownRow(5000, "arm2", "angle", 90.0),),
    )
    assert state.holds(seen, 5000)
    assert not state.holds(seen, 4999)
    assert At(state, 4999).judge(seen, ()).state == "not met"
    assert At(state, 5000).judge(seen, ()).state == "met"


def test_every_state_is_among_those_that_are_tried() -> None:
    # A display's first value is that nothing is known of it (test_screen_checks.py).
    assert {type(state) for state in STATES} | {ScreenShows} == set(State.__subclasses__())


@pytest.mark.parametrize(("line", "step"), WRONG)
def test_what_the_wiring_does_not_have_is_an_error_of_the_line(line: str, step: str) -> None:
    expectations = parse_expectations(CHECK + line)
    with pytest.raises(ConfigError) as caught:
        with_settings(expectations, WIRING)
    assert "line 2" in caught.value.message
    assert step in str(caught.value.next_step)


@pytest.mark.parametrize("line", ["btn1", "press at 2 s", "press btn1", "btn1 = at 2 s", "turn", "btn1.pressed = 1"])
def test_a_broken_line_shows_a_form(line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_expectations(CHECK + line)
    assert caught.value.next_step


async def tried(source: str, expect: str, folder: Path) -> Trial:
    image = await build(source, "parts", board=BOARD, cache=BuildCache(folder))
    return await try_image(image, BOARD, TrialOptions(expectations=parse_expectations(expect), wiring=WIRING))


TOGGLE = """
from machine import Pin
import time
button = Pin(6, Pin.IN, Pin.PULL_UP)
lamp = Pin(2, Pin.OUT)
before = 1
while True:
    now = button.value()
    if now != before:
        time.sleep_ms({debounce_ms})
        now = button.value()
        if before and not now:
            lamp.value(not lamp.value())
        before = now
    time.sleep_ms(1)
"""
PRESSES = """
press btn1 at 2 s, 3 s, 4 s
when pin 6 falls: pin 2 toggles within 50 ms
pin 2: 3 edges
soak 0 s
"""


async def test_a_press_bounces_and_is_one_trigger(tmp_path: Path) -> None:
    trial = await tried(TOGGLE.format(debounce_ms=20), PRESSES, tmp_path)
    assert (trial.ok, trial.proof) == (True, "met in the trial"), trial.error
    trial = await tried(TOGGLE.format(debounce_ms=0), PRESSES, tmp_path)
    assert trial.proof == "not met"


DISTANCE = """
from machine import Pin, time_pulse_us
import time
trig = Pin(4, Pin.OUT)
echo = Pin(5, Pin.IN)
time.sleep(1)
while True:
    trig.on()
    time.sleep_us(10)
    trig.off()
    us = time_pulse_us(echo, 1, 60000)
    print("far", round(us * 0.01715))
    time.sleep(1)
"""


async def test_a_distance_is_measured_and_follows_its_stimulus(tmp_path: Path) -> None:
    expect = 'sonar-1.distance = 80 cm at 3500 ms\nlog ~ "far 100" within 3 s\nlog ~ "far 80" within 6 s\n'
    trial = await tried(DISTANCE, expect, tmp_path)
    assert (trial.ok, trial.proof) == (True, "met in the trial"), trial.error
