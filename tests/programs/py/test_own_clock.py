"""A program that sets the board's clock gets one of its own, in every form in which it reads it."""

from __future__ import annotations

import pytest
from tests.programs.py.conftest import Build

from microclaw.errors import BuildError
from microclaw.hardware.boards.reader import load_board
from microclaw.programs.proof.trial import TrialOptions, try_image
from microclaw.programs.py.source_files import join_files

SETS = """\
import machine
import ntptime
import utime as clock
from machine import RTC
from time import gmtime, localtime, sleep, time

rtc = RTC()
before = rtc.datetime()[0]
rtc.datetime((2030, 1, 2, 0, 3, 4, 5, 0))
print(rtc.datetime()[:7], localtime()[:6], clock.localtime()[:3], gmtime()[:3], time() == clock.time_ns() // 10**9)
print(gmtime(0)[:3], localtime(86400)[:3])
sleep(60)
print(machine.RTC().datetime()[:7])
ntptime.settime()
print(rtc.datetime()[0] == before, time() == ntptime.time())
"""
READS = "from machine import RTC\nRTC().datetime((2030, 1, 2, 0, 3, 4, 5, 0))\n"


async def test_the_clock_that_a_program_sets_is_the_one_that_it_reads(build_py: Build) -> None:
    image = await build_py(SETS)
    assert [warning.message for warning in image.warnings] == ["this sets the clock of this program alone"]
    trial = await try_image(image, load_board("virtual"), TrialOptions(for_ms=70_000))
    assert trial.error is None
    assert list(trial.log) == [
        "(2030, 1, 2, 2, 3, 4, 5) (2030, 1, 2, 3, 4, 5) (2030, 1, 2) (2030, 1, 2) True",
        "(2000, 1, 1) (2000, 1, 2)",
        "(2030, 1, 2, 2, 3, 5, 5)",
        "True True",
    ]


async def test_a_module_that_sets_the_clock_sets_it_for_the_whole_program(build_py: Build) -> None:
    main = "import zone\nimport time\nprint(time.localtime())\n"
    image = await build_py(join_files("app.py", main, {"zone.py": READS}))
    assert "print(localtime" in image.rewritten
    assert "time.localtime" not in image.rewritten


@pytest.mark.parametrize(
    "source",
    [
        READS.replace(", 5, 0", ""),
        READS.replace("RTC().datetime", "RTC().init"),
        f"{READS}def read(clock):\n    print(clock.datetime())\nread(RTC())\n",
        f"{READS}now = RTC().datetime\nprint(now())\n",
    ],
)
async def test_a_clock_that_may_be_the_boards_is_not_set(source: str, build_py: Build) -> None:
    with pytest.raises(BuildError):
        await build_py(source)
