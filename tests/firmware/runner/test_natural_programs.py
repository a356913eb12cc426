"""Programs as people write them: rewritten by the host, run by the board's runner over the simulated board's pins."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

from tests.firmware.runner.conftest import PATIENCE_S, ROOT, MicroPython
from tests.virtual.py.bench import MODULES, Bench

from microclaw.boards.reader import load_board
from microclaw.py.compile import build
from microclaw.virtual.board import Board
from microclaw.virtual.clock import RealClock

BUTTON = """
from machine import Pin, Timer
from time import sleep_ms
count = 0
def pressed(pin):
    global count
    count += 1
button = Pin(4, Pin.IN, Pin.PULL_UP)
button.irq(trigger=Pin.IRQ_FALLING, handler=pressed)
Pin(5, Pin.OUT, value=1)
while count < 3:
    sleep_ms(10)
print("pressed", count)
"""


async def installed(micropython: MicroPython, name: str, source: str) -> Any:
    image = await build(source, name, board=load_board("virtual"))
    (micropython.folder / f"{name}.mpy").write_bytes(image.mpy)
    return image


def on_bench(micropython: MicroPython, bench: Bench, script: str, during: Callable[[], None]) -> Any:
    """The script's answer; `during` runs when the program has set pin 5."""
    ready = threading.Event()

    bench.board.watch_edges(lambda edge: ready.set() if edge.pin == 5 else None)
    path = f"{MODULES}:{micropython.environ['MICROPYPATH'].split(':', 1)[1]}"
    own = ROOT / "tests/firmware/runner/bench"
    environ = {**os.environ, "MICROPYPATH": f"{MODULES}:{own}:{path}", "MICROCLAW_BOARD": bench.address}
    with subprocess.Popen(
        micropython.script(script), env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert ready.wait(PATIENCE_S)
            during()
            out, err = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    assert not err, err
    return json.loads(out.strip().split("\n")[-1])


async def test_edges_of_a_button_are_counted_by_interrupt(micropython: MicroPython) -> None:
    await installed(micropython, "button", BUTTON)
    script = """
        async def main():
            runner = new_runner()
            await install(runner, "button")
            await until(lambda: lines(), 20000)
            page = runner.edges(0)
            return [lines(), page, row(runner, "button")["pins"]]
        run(main)
    """
    with Bench(Board(load_board("virtual"), RealClock()), micropython.folder) as bench:

        def press() -> None:
            for level in (0, 1) * 3:
                bench.board.set_input(4, level)
                time.sleep(0.05)

        lines, page, pins = on_bench(micropython, bench, script, press)
    assert lines == ["pressed 3"]
    assert page["evidence"] == {"4": "counted", "5": "written"}
    assert [edge[2] for edge in page["edges"] if edge[1] == 4][:5] == [0, 1, 0, 1, 0]
    assert pins == [4, 5]
