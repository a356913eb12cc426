"""https requests of a Python program in its trial: the expectations' lines answer, and a host without one is told."""

from __future__ import annotations

from pathlib import Path

from tests.programs.conftest import tried

SOURCE = """from microclaw import fetch, pin, sleep

lamp = pin(2)

def temperature():
    status, headers, body = fetch("GET", "https://api.example.org/x?room=hall")
    return float(body)

while True:
    try:
        now = temperature()
        lamp.value(now < 20)
        print("it is", now)
    except OSError as exc:
        print("no answer:", exc.args[-1])
    sleep(1)
"""

EXPECT = """
http GET api.example.org/x -> 200 21
http GET api.example.org/x -> 200 19
log ~ "it is 19.*" within 4 s
"""


async def test_the_lines_answer_one_after_the_other(build_cache: Path) -> None:
    trial = await tried(SOURCE, build_cache, EXPECT)
    assert (trial.ok, trial.proof) == (True, "met in the trial"), trial.error


async def test_a_host_without_a_line_is_untried_by_its_name(build_cache: Path) -> None:
    trial = await tried(SOURCE, build_cache)
    assert (trial.ok, trial.proof) == (True, "untried: no line answers api.example.org")
