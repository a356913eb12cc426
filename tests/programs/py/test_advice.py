"""Warnings: allowed, and rarely meant."""

from __future__ import annotations

import pytest
from tests.programs.py.conftest import Build

WIFI = 'SSID = "home"\nPASSWORD = "hunter2hunter2"\n'
GROWS = "import time\nxs = []\nwhile True:\n    xs.append(time.ticks_ms())\n    time.sleep(1)\n"
TASK = "import asyncio, time\n\n\nasync def main():\n    time.sleep(1)\n\n\nasyncio.run(main())\n"


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (WIFI, 2),
        (GROWS, 4),
        (TASK, 5),
        ("list = [1]\n", 1),
        ("from machine import Pin\nPin(2, Pin.OUT)\n", 2),
    ],
)
async def test_warning_names_its_line(build_py: Build, source: str, line: int) -> None:
    (found,) = (await build_py(source)).warnings
    assert (found.severity, found.line) == ("warning", line)


@pytest.mark.parametrize(
    "source",
    [
        GROWS.replace("    time.sleep(1)", "    time.sleep(1)\n    if len(xs) > 9: xs.pop(0)"),
        "from machine import Pin\np = Pin(13, Pin.OUT)\nwhile True:\n    p.toggle()\n",
    ],
)
async def test_no_warning_without_a_reason(build_py: Build, source: str) -> None:
    assert (await build_py(source)).warnings == ()
