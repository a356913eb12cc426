"""Each example that needs a network and has expectations is built and tried, and does what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from microclaw.events import ProgramKind
from microclaw.hardware.boards.firmware import with_micropython
from microclaw.hardware.boards.reader import load_board
from microclaw.hardware.parts.wiring_file import WIRING_FILE, read_wiring_text
from microclaw.programs.building import cached_compiler, program_language
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.trial import TrialOptions, try_image

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
NETWORKS: Final = {
    "mqtt_lamp/mqtt_lamp.py": "talks to broker.example.org:1883",
    "weather/weather.py": "talks to api.example.org:80",
    "web_switch/web_switch.ino": "",
    "web_switch/web_switch.py": "opens port 80",
}


@pytest.mark.parametrize("name", NETWORKS)
async def test_an_example_on_the_network_does_what_stands_beside_it(name: str, build_cache: Path) -> None:
    program = EXAMPLES / name
    board = load_board("virtual")
    kinds: tuple[ProgramKind, ...] = ("wasm",)
    if program.suffix == ".py":
        board = with_micropython(board)
        kinds = ("py",)
    source = program.read_text(encoding="utf-8")
    compile_source = cached_compiler(BuildCache(build_cache))
    image = await compile_source(source, board, program.stem, "O3", program_language(program.name), kinds)
    assert image.network.text == NETWORKS[name]
    expectations = parse_expectations(program.with_suffix(".expect").read_text(encoding="utf-8"))
    wiring = read_wiring_text(program.with_name(WIRING_FILE).read_text(encoding="utf-8"))
    trial = await try_image(image, board, TrialOptions(expectations=expectations, wiring=wiring))
    assert trial.ok, f"{trial.error}; {trial.log}"
    assert trial.proof == "met in the trial", [result.line() for result in trial.expected]
