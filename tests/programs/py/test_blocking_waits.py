"""Waits where no coroutine can be: short ones block the board with a warning, others are refused at their line."""

from __future__ import annotations

import pytest
from tests.programs.py.conftest import Build

from microclaw.errors import BuildError
from microclaw.hardware.boards.reader import load_board
from microclaw.programs.proof.trial import TrialOptions, try_image

SENSOR = """import time
class Sensor:
    def __init__(self, length_ms):
        self.length_ms = length_ms
    @property
    def value(self):
        return self.read()
    def read(self):
        time.sleep_ms(self.length_ms)
        return self.length_ms
print(Sensor({length_ms}).value)
"""
REFUSED = {
    "the sum is too long": "    time.sleep_ms(30)\n        time.sleep(0.03)",
    "a loop": "    for _ in range(3):\n            time.sleep_ms(5)",
    "two lengths that only the run knows": "    time.sleep_ms(n)\n        time.sleep_ms(n)",
    "another object's method": "    other.read()",
    "a function by another name": "    alias()",
    "a class is made": "    Slow()",
    "itself": "    self.again()",
}


async def test_a_computed_sleep_ends_the_program_at_its_line_if_it_is_too_long(build_py: Build) -> None:
    board = load_board("virtual")
    logs = []
    for length_ms in (20, 60):
        image = await build_py(SENSOR.format(length_ms=length_ms), board=board)
        assert [(found.severity, found.line) for found in image.warnings] == [("warning", 9)]
        trial = await try_image(image, board, TrialOptions(for_ms=500))
        logs.append((trial.ok, "".join(trial.log)))
    (is_short_ok, short), (is_long_ok, long) = logs
    assert is_short_ok
    assert short == "20"
    assert not is_long_ok
    assert "line 9, in read" in long
    assert "60 is too long" in long


async def test_a_method_that_blocks_for_a_property_is_a_coroutine_for_others(build_py: Build) -> None:
    source = SENSOR.format(length_ms=20) + "Sensor(5).read()\n"
    rewritten = (await build_py(source)).rewritten
    assert "async def read(self)" in rewritten
    assert "def read_blocking(self)" in rewritten
    assert "await Sensor(5).read()" in rewritten


async def test_the_copy_has_a_name_that_the_program_does_not_use(build_py: Build) -> None:
    source = SENSOR.format(length_ms=20) + "read_blocking = 5\nprint(read_blocking)\n"
    assert "def read_blocking_(self)" in (await build_py(source)).rewritten


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
async def test_a_wait_without_a_short_limit_is_refused(build_py: Build, body: str) -> None:
    source = f"""import time
class Other:
    def read(self):
        time.sleep_ms(5)
class Slow:
    def __init__(self):
        time.sleep_ms(5)
def wait():
    time.sleep_ms(5)
class Sensor:
    @property
    def value(self):
    {body}
    def again(self):
        time.sleep_ms(1)
        return self.again()
alias = wait
others = [Other()]
for other in others:
    n = len(others)
print(Sensor().value)
"""
    with pytest.raises(BuildError) as caught:
        await build_py(source)
    error = caught.value.diagnostics[0]
    assert error.line in (13, 14)
    assert "up to 50 ms" in (error.explanation or "")
