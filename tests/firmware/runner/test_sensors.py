"""The board's sensors as a program and the host read them, over the simulated board's registers."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest
from tests.firmware.runner.conftest import PATIENCE_S, ROOT, MicroPython
from tests.virtual.py.bench import MODULES, Bench

from microclaw.boards.reader import load_board
from microclaw.py.compile import build
from microclaw.virtual.board import Board
from microclaw.virtual.clock import RealClock

PROGRAM = """
from microclaw import sensor
for quantity, address in (
    ("temperature", 0x76), ("humidity", 0x76), ("pressure", 0x76), ("voltage", 0x40), ("current", 0x40), ("power", 0x40),
    ("temperature", 0x77),
):
    print(quantity, sensor(quantity, address))
"""
READ = """
async def main():
    from calls import Calls
    runner = new_runner(i2c=[8, 9])
    calls = Calls(runner.board, runner, "0")
    answers = []
    for name in ("bme280", "ina219", "mpu6050"):
        answers.append(await calls.answer(name, "i2c.read", {"sensor": name}, True))
    if "app.mpy" in os.listdir(FOLDER):
        await install(runner, "app")
        await until(lambda: row(runner, "app")["state"] != "running", 20000)
    return [answers, lines()]
run(main)
"""
ACCURACY = {
    "temperature_c": 0.02, "humidity_pct": 0.05, "pressure_hpa": 0.1,
    "voltage_v": 0.004, "current_ma": 0.1, "power_mw": 2.0,
}  # fmt: skip


def on_bench(micropython: MicroPython, values: Mapping[str, Mapping[str, float]], script: str = READ) -> Any:
    """The script's answer on a board whose sensors measure this."""
    with Bench(Board(load_board("virtual"), RealClock()), micropython.folder) as bench:
        for sensor, measured in values.items():
            bench.board.set_sensor(sensor, measured)
        own = ROOT / "tests/firmware/runner/bench"
        path = f"{MODULES}:{own}:{ROOT / 'firmware/fw'}:.frozen"
        environ = {**os.environ, "MICROPYPATH": path, "MICROCLAW_BOARD": bench.address}
        done = subprocess.run(
            micropython.script(script), env=environ, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    assert not done.stderr, done.stderr
    return json.loads(done.stdout.strip().split("\n")[-1])


@pytest.mark.parametrize(
    ("air", "power"), [((22.5, 45.0, 1013.25), (3.3, 50.0)), ((-40.0, 0.0, 300.0), (0.0, -3200.0))]
)
async def test_program_and_host_read_what_the_sensors_measure(
    micropython: MicroPython, air: tuple[float, float, float], power: tuple[float, float]
) -> None:
    image = await build(PROGRAM, "app", board=load_board("virtual"))
    (micropython.folder / "app.mpy").write_bytes(image.mpy)
    bme280 = dict(zip(("temperature_c", "humidity_pct", "pressure_hpa"), air, strict=True))
    ina219 = dict(zip(("voltage_v", "current_ma"), power, strict=True))
    answers, lines = on_bench(micropython, {"bme280": bme280, "ina219": ina219})
    wanted = {**bme280, **ina219, "power_mw": power[0] * power[1]}
    told = {**answers[0]["value"]["values"], **answers[1]["value"]["values"]}
    assert told == {name: pytest.approx(value, abs=ACCURACY[name]) for name, value in wanted.items()}
    values = dict(zip(ACCURACY, (float(line.split()[1]) for line in lines[:6]), strict=True))
    assert values == {name: pytest.approx(value, abs=ACCURACY[name]) for name, value in wanted.items()}
    assert lines[6] == "temperature None"
    assert answers[2]["error"]["code"] == "bad_params", "there is no driver for an mpu6050"


async def test_pins_of_another_program_are_not_taken_for_a_sensor(micropython: MicroPython) -> None:
    """Pins that nobody has are shared: two programs may read the same sensor."""
    source = "from microclaw import sensor\ntry:\n    print(sensor('temperature', 0x76))\nexcept OSError as e:\n    print(e)\n"
    image = await build(source, "app", board=load_board("virtual"))
    (micropython.folder / "app.mpy").write_bytes(image.mpy)
    script = """
        async def main():
            runner = new_runner(i2c=[8, 9])
            await install(runner, "one", "app")
            await install(runner, "two", "app")
            await until(lambda: len(lines()) == 2, 20000)
            runner.board.claim(8, "three")
            await install(runner, "four", "app")
            await until(lambda: len(lines()) == 3, 20000)
            return lines()
        run(main)
    """
    one, two, refused = on_bench(micropython, {"bme280": {"temperature_c": 31.0}}, script)
    assert float(one) == float(two) == pytest.approx(31.0, abs=0.02)
    assert refused == "pin 8 belongs to the program three"
