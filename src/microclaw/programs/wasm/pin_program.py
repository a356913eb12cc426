"""Builds microclaw's program for the pins of a stock board. devices/transports/pin_calls.py sends it requests."""

from __future__ import annotations

from pathlib import Path

from microclaw.devices.transports.pin_calls import PIN_PROGRAM, pin_methods
from microclaw.hardware.boards.profile import BoardProfile


async def build_pin_program(board: BoardProfile) -> bytes:
    """Compile the program with the parts that the board's firmware has. Raises BuildError."""
    # Only a board with such a program needs the compiler.
    from microclaw.programs.wasm.compile import compile_module
    from microclaw.programs.wasm.part_readings import pin_program_reading

    methods = pin_methods(board)
    source = Path(__file__).with_name("pin_program.c").read_text(encoding="utf-8")
    has_pwm = int("pwm.set" in methods)
    has_i2c = int("i2c.scan" in methods)
    program = f"#define HAS_PWM {has_pwm}\n#define HAS_I2C {has_i2c}\n{source}"
    if has_i2c:
        program += pin_program_reading()
    image = await compile_module(program, board, name=PIN_PROGRAM, optimization="Os")
    return image.wasm
