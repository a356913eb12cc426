"""The board's sensors as a program and the host read them, from the registers of the simulated ones."""

from __future__ import annotations

import pytest
from tests.firmware.runner.conftest import MicroPython

from microclaw.hardware.boards.reader import load_board
from microclaw.programs.py.compile import build
from microclaw.virtual.board import Board
from microclaw.virtual.part_bus import own_bus
from microclaw.virtual.virtual_clock import VirtualClock

PROGRAM = """
from microclaw import sensor
for quantity, address in (
    ("temperature", 0x76), ("humidity", 0x76), ("pressure", 0x76), ("voltage", 0x40), ("current", 0x40), ("power", 0x40),
    ("temperature", 0x77),
):
    print(quantity, sensor(quantity, address))
"""
MEASURED = {
    "bme280": {"temperature_c": -40.0, "humidity_pct": 0.0, "pressure_hpa": 300.0},
    "ina219": {"voltage_v": 3.3, "current_ma": -3200.0, "power_mw": -10_560.0},
}
ACCURACY = {
    "temperature_c": 0.02, "humidity_pct": 0.05, "pressure_hpa": 0.1,
    "voltage_v": 0.004, "current_ma": 0.1, "power_mw": 2.0,
}  # fmt: skip
ASKED = {"bme280": (0xD0, 0x88, 0xE1, 0xF7), "ina219": (1, 2)}


def registers() -> dict[int, dict[int, str]]:
    """Address to register to the bytes from there on."""
    clock = VirtualClock()
    board = Board(load_board("virtual"), clock)
    addresses = {wired.part: wired.address for wired in board.parts.wiring().parts}
    found: dict[int, dict[int, str]] = {}
    for name, values in MEASURED.items():
        address = addresses[name]
        assert address is not None
        board.parts.set_values(name, {key: value for key, value in values.items() if key != "power_mw"})
        found[address] = rows = {}
        for register in ASKED[name]:
            if name == "bme280":
                own_bus(board).write(address, b"\xf2\x01\xf4\x25")
                clock.advance(10)
            own_bus(board).write(address, bytes([register]))
            data = own_bus(board).read(address, 26)
            assert data is not None
            rows[register] = data.hex()
    return found


async def test_program_and_host_read_what_the_sensors_measure(micropython: MicroPython) -> None:
    image = await build(PROGRAM, "app", board=load_board("virtual"))
    (micropython.folder / "app.mpy").write_bytes(image.mpy)
    body = f"""
        from calls import Calls
        machine.registers.update({registers()})
        calls = Calls(runner.board, runner, "0")
        answers = []
        for name in ("bme280", "ina219", "bme68x", "bme280@0x76", "bme280@0x77", "bme280@0x40"):
            answers.append(await calls.answer(name, "i2c.read", {{"sensor": name}}, True))
        await install(runner, "app")
        await until(lambda: row(runner, "app")["state"] != "running")
        return [answers, lines()]
    """
    answers, lines = micropython.act(body, i2c=[8, 9])
    wanted = {**MEASURED["bme280"], **MEASURED["ina219"]}
    right = {name: pytest.approx(value, abs=ACCURACY[name]) for name, value in wanted.items()}
    assert {**answers[0]["value"]["values"], **answers[1]["value"]["values"]} == right
    assert dict(zip(ACCURACY, (float(line.split()[1]) for line in lines[:6]), strict=True)) == right
    assert lines[6] == "temperature None"
    assert answers[2]["error"]["code"] == "bad_params", "there is no driver for a bme68x"
    assert answers[3]["value"] == {**answers[0]["value"], "sensor": "bme280@0x76"}
    assert [answer["error"]["code"] for answer in answers[4:]] == ["failed", "bad_params"]
