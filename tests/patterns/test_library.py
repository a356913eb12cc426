"""Patterns take only values that their descriptions allow, and stay the C files they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.apps.expectation_text import parse_expectations
from microclaw.errors import ConfigError, UnknownName
from microclaw.patterns.library import fill, load_pattern, parse_pattern, pattern_names

SOURCE = '#define PIN 2\n#define ADDRESS 0x76 /* bus */\n#define NAME "a"\n#define OTHER 7\nint x = PIN;\n'
DESCRIPTION = """
title = "t"
app = "t"
[parameters.PIN]
type = "pin"
use = "output"
default = 2
[parameters.ADDRESS]
type = "int"
min = 8
max = 119
default = 118
[parameters.NAME]
type = "word"
choices = ["a", "b"]
default = "a"
"""


@pytest.mark.parametrize("name", pattern_names("wasm"))
def test_a_pattern_filled_with_its_defaults_is_its_file_and_both_forms_have_its_parameters(name: str) -> None:
    assert fill(name, {}).source == load_pattern(name).source
    blocking, events = load_pattern(name, blocking=True), load_pattern(name, blocking=False)
    assert blocking.parameters == events.parameters
    if events.source != blocking.source:
        assert "int main(void)" in blocking.source
        assert "void on_init(void)" in events.source
        assert "delay(" not in events.source


@pytest.mark.parametrize(
    ("tool", "origin", "begins"),
    [
        (None, "_events.c, filled in (event-driven: no Binaryen here)", "void on_init(void)"),
        ("wasm-opt", ".c, filled in", "int main(void)"),  # the form that people write
    ],
)
def test_binaryen_decides_which_form_is_filled(
    tool: str | None, origin: str, begins: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if tool is not None:
        (tmp_path / tool).write_text("#!/bin/sh\n")
        (tmp_path / tool).chmod(0o755)
    program = fill("traffic_light", {"RED_PIN": 10})
    assert program.origin == f"patterns/traffic_light{origin}"
    assert "#define RED_PIN 10\n" in program.source
    assert begins in program.source


def test_the_pins_that_a_board_has_are_named_by_nobody_but_its_profile() -> None:
    for pin in (-1, 99):
        with pytest.raises(ConfigError) as caught:
            fill("blink", {"PIN": pin})
        assert caught.value.next_step == "a pin of the board: microclaw device show NAME"
        with pytest.raises(ConfigError, match=f"{pin} is no pin of a board$"):
            parse_expectations(f"pin {pin}: high")


def test_values_are_put_into_their_define_lines_alone() -> None:
    program = fill("blink", {"PIN": 4, "HALF_PERIOD_MS": 250})
    before, after = load_pattern("blink").source.splitlines(), program.source.splitlines()
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert changed == [
        ("#define PIN 2", "#define PIN 4"),
        ("#define HALF_PERIOD_MS 500", "#define HALF_PERIOD_MS 250"),
    ]
    assert program.pins == (4,)
    assert program.app_name == "blink"


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("blink", {"PIN": -1}),
        ("blink", {"PIN": 256}),
        ("blink", {"HALF_PERIOD_MS": 0}),
        ("blink", {"PIN": "2\nint main(void) { return 1; }"}),
        ("blink", {"PIN": True}),
        ("blink", {"NOTHING": 1}),
        ("read_sensor", {"QUANTITY": 'temperature"); system("x'}),
        ("read_sensor", {"QUANTITY": 1}),
    ],
)
def test_a_value_that_is_not_allowed_is_refused(name: str, params: dict[str, int | str]) -> None:
    with pytest.raises(ConfigError):
        fill(name, params)


def test_an_unknown_pattern_lists_the_known_ones() -> None:
    with pytest.raises(UnknownName) as caught:
        fill("blonk", {})
    assert "blink" in (caught.value.next_step or "")


def test_notation_of_numbers_and_words_is_kept() -> None:
    pattern = parse_pattern("t", DESCRIPTION, SOURCE)
    assert pattern.parameters["PIN"].pin_use == "output"
    assert pattern.parameters["NAME"].choices == ("a", "b")
    filled = fill("read_sensor", {"ADDRESS": 0x40, "QUANTITY": "voltage"}).source
    assert "#define ADDRESS 0x40\n" in filled
    assert '#define QUANTITY "voltage"\n' in filled


@pytest.mark.parametrize(
    ("description", "source"),
    [
        (DESCRIPTION, "int x;\n"),
        (DESCRIPTION.replace('["a", "b"]', '["a b"]'), SOURCE),
        (DESCRIPTION.replace("default = 118", "default = 3"), SOURCE),
        (DESCRIPTION.replace('type = "int"', 'type = "float"'), SOURCE),
        ("title = ", SOURCE),
    ],
)
def test_a_description_that_does_not_fit_is_refused(description: str, source: str) -> None:
    with pytest.raises(ConfigError):
        parse_pattern("t", description, source)
