"""The system prompt is true: the C API is that of microclaw.h, and the examples do what they are for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import microclaw.programs.wasm
from microclaw.agent.turn.system_prompt import BUTTON_EXAMPLE, NATIVE_API, SENSOR_EXAMPLE, system_prompt
from microclaw.events import ProgramKind
from microclaw.hardware.boards.reader import load_board
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.trial import TrialOptions, try_image
from microclaw.programs.wasm.compile import compile_module

HEADER = (Path(microclaw.programs.wasm.__file__).parent / "headers" / "microclaw.h").read_text(encoding="utf-8")
_FUNCTION = re.compile(r"^(?:void|int|unsigned(?: long)?) \w+\([^;]*?\)(?=[; ])", re.MULTILINE)
NOT_TOLD = {
    "delay_ms",  # delay by another name
    "micros",
    "gpio_close",  # what was opened is closed at the program's end
    "pwm_close",
    "i2c_close",
    "log",  # printf, in another place a logarithm
    "on_destroy",
}


def test_a_model_is_told_the_headers_declarations_but_for_a_few_and_no_means_of_the_compiler() -> None:
    header, told = (set(_FUNCTION.findall(text)) for text in (HEADER, NATIVE_API))
    # It is declared for a program that calls it (part_readings.py).
    told -= {declaration for declaration in told if "sensor_read" in declaration}
    assert told <= header
    assert {function.partition("(")[0].split()[-1] for function in header - told} == NOT_TOLD
    assert not re.search(
        "pragma|__|#ifn?def", system_prompt(soul="", max_apps=3, can_wait_in_main=True, kinds={"wasm"})
    )


@pytest.mark.parametrize("source", [BUTTON_EXAMPLE, SENSOR_EXAMPLE], ids=["button", "sensor"])
async def test_an_example_meets_the_expect_beside_it(source: str) -> None:
    board = load_board("virtual")
    prompt = system_prompt(soul="", max_apps=3, can_wait_in_main=True, kinds={"wasm"})
    told = prompt.partition(f"```c\n{source}```\n")[2].splitlines()[0]
    expect = parse_expectations("\n".join(re.findall(r"`([^`]+)`", told)))
    image = await compile_module('#include "microclaw.h"\n' + source, board, name="example")
    trial = await try_image(image, board, TrialOptions(expectations=expect))
    assert trial.ok, trial.error
    assert [result.line() for result in trial.expected if result.trial != "met"] == []


def test_a_prompt_is_for_the_kinds_of_programs_that_its_boards_take() -> None:
    every: tuple[tuple[ProgramKind, ...], ...] = (("wasm",), ("py",), ("wasm", "py"))
    sizes = []
    for kinds in every:
        prompt = system_prompt(soul="", max_apps=3, can_wait_in_main=True, kinds=kinds)
        assert ("microclaw.h" in prompt, "MicroPython" in prompt) == ("wasm" in kinds, "py" in kinds)
        sizes.append(len(prompt))
    c, python, both = sizes
    assert both < c + python // 2
