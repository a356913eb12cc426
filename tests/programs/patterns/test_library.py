"""Patterns take only values that their descriptions allow, and stay the C files they are."""

from __future__ import annotations

import pytest

from microclaw.errors import ConfigError, UnknownName
from microclaw.programs.patterns.library import fill, load_pattern, pattern_of

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


def test_values_are_put_into_their_define_lines_alone_in_the_notation_of_the_file() -> None:
    program = fill("blink", {"PIN": 4, "HALF_PERIOD_MS": 250}, blocking=True)
    before = load_pattern("blink", True, "wasm").source.splitlines()
    after = program.source.splitlines()
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert changed == [
        ("#define PIN 2", "#define PIN 4"),
        ("#define HALF_PERIOD_MS 500", "#define HALF_PERIOD_MS 250"),
    ]
    assert (program.pins, program.app_name) == ((4,), "blink")
    filled = fill("read_sensor", {"ADDRESS": 0x40, "QUANTITY": "voltage"}).source
    assert "#define ADDRESS 0x40\n" in filled
    assert '#define QUANTITY "voltage"\n' in filled


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("blink", {"PIN": -1}),
        ("blink", {"PIN": "2\nint main(void) { return 1; }"}),
        ("blink", {"PIN": True}),
        ("read_sensor", {"QUANTITY": 'temperature"); system("x'}),
        ("blonk", {}),
        ("led_color", {}),  # for Python alone
    ],
)
def test_a_value_that_is_not_allowed_is_refused(name: str, params: dict[str, int | str]) -> None:
    with pytest.raises((ConfigError, UnknownName)):
        fill(name, params)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("default = 118", "default = 3"),
        ('type = "int"', 'type = "float"'),
        (DESCRIPTION, "title = "),
    ],
)
def test_a_description_that_does_not_fit_is_refused(right: str, wrong: str) -> None:
    with pytest.raises(ConfigError):
        pattern_of("t", DESCRIPTION.replace(right, wrong), lambda _: SOURCE, blocking=True, kind="wasm")
