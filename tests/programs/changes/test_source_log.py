"""Tracebacks in a device's log: in the lines of the version that printed them, without frames of the firmware."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from microclaw.devices.registry.calls import LogLine
from microclaw.hardware.boards.reader import load_board
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.changes.change_log import AppVersion, ChangeLog, PutApp
from microclaw.programs.changes.source_log import SourceLog
from microclaw.programs.py.compile import build
from microclaw.programs.py.py_image import PyImage

BLINK = """from machine import Pin
import time

# a comment


def wait(ms):
    time.sleep_ms(ms)
    return 1 // ms


while True:
    wait(0)
"""
HEADER = "Traceback (most recent call last):"
FIRMWARE = '  File "/fw/runner.py", line 120, in step'


async def image_of(source: str, tmp_path: Path) -> PyImage:
    return await build(source, "blink", board=load_board("virtual"), cache=BuildCache(tmp_path / "cache"))


def frame(image: PyImage, line: int, name: str = "wait") -> str:
    """As the board tells a frame of this source line."""
    return f'  File "blink.py", line {image.lines.index(line) + 1}, in {name}'


async def put(change_log: ChangeLog, device_id: str, image: PyImage, *, fails: bool = False) -> None:
    await change_log.keep_image(image)
    version = AppVersion(image.sha256, 8192, 20, 180_000, (), kind="py")
    planned = await change_log.plan(device_id, "app.deploy", "deploy blink", PutApp("blink", version), None)
    await (change_log.end(planned, "failed") if fails else change_log.end(planned, "done"))


async def printed(lab: Any, *lines: LogLine) -> list[str]:
    lab.transport.lines = list(lines)
    page = await SourceLog(lab.change_log).read(lab.registry.get("paper"), 0)
    assert page.cursor == len(lines)
    return [line.text for line in page.lines]


async def test_a_traceback_has_the_sources_lines_and_no_frames_of_the_firmware(lab: Any, tmp_path: Path) -> None:
    image = await image_of(BLINK, tmp_path)
    await put(lab.change_log, lab.device_id, image)
    texts = (HEADER, FIRMWARE, frame(image, 13, "main"), frame(image, 9), "ZeroDivisionError: divide by zero", "")
    assert frame(image, 9) != '  File "blink.py", line 9, in wait'
    assert await printed(lab, *(LogLine(1.0, "blink", text, 1_000) for text in texts)) == [
        HEADER,
        '  File "blink.py", line 13, in <module>',
        '  File "blink.py", line 9, in wait',
        "ZeroDivisionError: divide by zero",
        "",
    ]


async def test_a_line_is_told_in_the_lines_of_the_version_that_ran_then(
    lab: Any, journal_clock: Any, tmp_path: Path
) -> None:
    old = await image_of(BLINK, tmp_path)
    bad = await image_of("x = 1\n\n\n" + BLINK, tmp_path)
    await put(lab.change_log, lab.device_id, old)
    await put(lab.change_log, lab.device_id, bad, fails=True)
    soon = journal_clock.now_ms()
    assert await printed(lab, LogLine(1.0, "blink", frame(bad, 12), soon)) == ['  File "blink.py", line 12, in wait']
    later = LogLine(1.0, "blink", frame(old, 9), soon + 3_600_000)
    assert await printed(lab, later) == ['  File "blink.py", line 9, in wait']
    journal_clock.later(7_200_000)
    await put(lab.change_log, lab.device_id, bad)
    lines = (later, LogLine(2.0, "blink", frame(bad, 12), journal_clock.now_ms()))
    assert await printed(lab, *lines) == [f'  File "blink.py", line {line}, in wait' for line in (9, 12)]
