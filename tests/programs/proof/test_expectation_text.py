from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microclaw.agent.knowledge.skills import Skills
from microclaw.errors import ConfigError
from microclaw.host.operations.next_steps import name_tools
from microclaw.programs.proof.checks import Hold, Period
from microclaw.programs.proof.expectation_forms import all_examples
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.expectations import EdgeMoments, LevelState
from microclaw.programs.proof.line_pattern import parse_line_pattern
from microclaw.programs.proof.pwm_checks import Duty
from microclaw.programs.proof.reaction import Reaction
from microclaw.programs.proof.record import TrialWindow
from microclaw.programs.proof.stimuli import PinStimulus

DOCS = Path(__file__).parents[3] / "docs" / "reference" / "expectations.md"


def documented() -> list[str]:
    block = re.search(r"```expect\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    return block[1].splitlines()


def skilled() -> list[str]:
    """Return the lines that the skill for models shows."""
    body = Skills(Path("nowhere")).get("expectations").body
    return [line.strip() for line in body.splitlines() if line.startswith("    ")]


def examples() -> list[str]:
    """Return the lines that errors show."""
    return all_examples()


@pytest.mark.parametrize("line", [*documented(), *skilled(), *examples()])
def test_every_line_that_is_shown_is_understood(line: str) -> None:
    checks_one = line.startswith(("pin", "when", "pwm", "led", "servo", "log", "motor1", "arm", "screen", "display"))
    checks_one = checks_one or re.match(r"(mqtt|http|at)\b.*( ~ |:80.* -> )", line) is not None
    found = parse_expectations(line if checks_one else f"{line}\npin 2: 1 edge")
    assert len(found.lines) == 1


@pytest.mark.parametrize("line", ["pin 4: rises at 1 s 2 s", "pin 4: period 1 s 1 s", "pin 4: rises at 10 s 1 min"])
def test_two_times_without_a_comma_are_no_sum(line: str) -> None:
    with pytest.raises(ConfigError, match="larger unit first"):
        parse_expectations(line)


def test_lines_become_checks_and_stimuli() -> None:
    for text in ("pin 2: period 1 s ± 2 %, duty 50 %", "pin 2: period 1000 ms +- 2 %, duty 50 %  # an LED"):
        assert parse_expectations(text).checks == (Period(EdgeMoments(2, 1), 1000, 0.02), Duty(LevelState(2, 1), 50, 5))
    found = parse_expectations("pin 2: low, never high while pin 8 high from 1 s until 2 s").checks
    assert found == tuple(
        Hold(LevelState(2, 0), condition, window=TrialWindow(1000, 2000)) for condition in (None, LevelState(8, 1))
    )
    assert parse_expectations("pin 4: 2 pulses within 1 min 30 s").checks == (
        Period(EdgeMoments(4, 1), 90_000, 0.05, 2),
    )
    at_each = parse_expectations("pin 3: rises at 0 s, 200 ms, 1 s, high at 3 s, 4 s").checks
    alone = "pin 3: rises at 0 s, rises at 200 ms, rises at 1 s, high at 3 s, high at 4 s"
    assert at_each == parse_expectations(alone).checks
    asked = parse_expectations("set pin 4 = 0 at 2 s, 4 s\nwhen pin 4 falls: pin 2 toggles within 50 ms")
    assert asked.checks == (Reaction(EdgeMoments(2), LevelState(4, 0), None, 50),)
    assert asked.stimuli == (PinStimulus(4, 0, 2000), PinStimulus(4, 0, 4000))


@pytest.mark.parametrize(
    "text",
    [
        "pin 2: peroid 1 s", "\npin 2 period 1 s", "pin 2: period 1", "pin 2: period 0 s", "pin 2: period 90000 s",
        "pin 2: duty 150 %", "pin 99: 3 edges", "pin 2: 3 edges 4", "pin 2: low from 3 s until 2 s",
        "when pin 4 falls: pin 4 rises within 1 s", "log ~ temp", 'log ~ "(a+)+"', "i2c.bme280.heat = 3 at 1 s",
        "for 10 s", "for 10 s\nfor 20 s", "hello", "pin 2 blinks nicely",
    ],
)  # fmt: skip
def test_an_error_says_what_to_write(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_expectations(text)
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("pin 2: peroid 1 s", "pin 2: period 1 s"),
        ("pin 4: blinks every 500 ms", "pin 2: period 1 s"),
        ("pin 4: 2 pulses a second", "pin 5: 3 pulses"),
        ("pin 4: 2 pulses every 1 s", "pin 4: 2 pulses within 1 s"),
        ("pin 2: stays high for 2 s", "pin 5: high for 200 ms"),
        ("pin 7: not high while pin 8 is high", "pin 7: never high while pin 8 high"),
        ("pwm 5: fades from 0 to 100 % in 2 s", "pwm 5: 0 -> 100 % within 2 s"),
        ('serial prints "hello" every 1 s', 'log every 5 s ~ "temp .*"'),
        ("when pin 4 falls: led 48 red", "when pin 4 falls: led 48 -> green within 100 ms"),
        ("i2c bme280 temperature = 31 at 4 s", "i2c.sensor1.temperature = 31 at 4 s"),
        ("dht1.temperature 31 at 4 s", "dht1.temperature = 31 at 4 s"),
        ("press btn1 after 2 s for 100 ms", "press btn1 at 2 s for 100 ms"),
        ("gpio 2: high at 1 s", "pin 4: high at 4 s"),
    ],
)
def test_an_error_shows_the_form_that_was_meant_and_where_all_are(line: str, meant: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_expectations(line)
    assert caught.value.next_step == f"write it as: {meant}; all forms: microclaw memory skills expectations"
    assert name_tools(caught.value.next_step).endswith("all forms: skill expectations")


@pytest.mark.parametrize("key", ["5", "*", "A"])
def test_a_key_without_quotes_is_refused_with_the_form_of_its_line(key: str) -> None:
    for line in (f"press kp {key} at 1 s", f"press kp {key} at 1 s, 3 s for 20 ms"):
        with pytest.raises(ConfigError) as caught:
            parse_expectations(line)
        assert caught.value.next_step == f'write it as: press kp "{key}" at 2 s for 100 ms'


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+b", "(a|a)*b", "(a|b)+", "((a)|b){9}", "(?=a)", "(?P<n>a)", r"(a)\1", "a*?",
        "a++", "a*b*c*d*", "a{500}", "(a?b)*", "[", 5 * "a?" + "a", 5 * "(a|a)",
    ],
)  # fmt: skip
def test_a_pattern_that_might_run_for_long_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_line_pattern(pattern)
    assert caught.value.next_step


def test_a_pattern_fits_the_whole_line() -> None:
    for pattern, line in ((r"temp -?\d+\.\d (C|F)", "temp -3.5 C\n"), (r"[^]a*]b{2}", "cbb"), (r"a\*", "a*")):
        assert parse_line_pattern(pattern).matches(line), pattern
    assert not parse_line_pattern("temp .*").matches("a temp 21.5")


def test_the_worst_pattern_and_a_long_line_that_fits_nothing_end_soon() -> None:
    began = time.process_time()
    assert not parse_line_pattern(".*.*.*x").matches("a" * 100_000)
    for line in ("pin 2: high" + 7_000 * " " + "from" + 7_000 * " " + "x", 'log ~ "' + 7_000 * '\\"'):
        with pytest.raises(ConfigError):
            parse_expectations(line)
    assert time.process_time() - began < 10  # not a timing: without the bounds it would be minutes to days


_NETWORK_WORDS = (
    *("http", "mqtt", "at", "broker", "GET", "POST", "->", "~", "every", "never", "within", "after", "refused"),
    *("3 s", "3 times", "200", "999", ":80", ":99999", "/x", "a.example.org", "https://a.b:1/", '"on"', '"(', "[A: b]"),
)


@given(st.lists(st.sampled_from(_NETWORK_WORDS) | st.text(max_size=8), max_size=8))
def test_words_of_the_network_in_any_order_are_a_line_or_an_error_with_its_place(words: list[str]) -> None:
    next_step = "none"
    try:
        parse_expectations(" ".join(words))
    except ConfigError as exc:
        next_step = exc.next_step or ""
    assert next_step
