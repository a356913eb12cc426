"""What is refused before a call leaves the host: pins the board forbids and values no firmware means well."""

from __future__ import annotations

from typing import Any

from microclaw.boards.profile import BoardProfile
from microclaw.devices.calls import AdcRead, Call, GpioGet, GpioSet, PwmSet
from microclaw.errors import CallRejected
from microclaw.policy.pins import check_pin

MAX_DUTY = 255
# LEDC's fastest clock is 80 MHz and its narrowest duty is 1 bit (ESP-IDF, LEDC, supported frequencies).
MAX_PWM_HZ = 40_000_000


def check_call(board: BoardProfile, call: Call[Any]) -> None:
    """Raise PinRefused or CallRejected; firmware itself accepts even flash pins (protocols/jsonline, traps)."""
    match call:
        case GpioSet(pin=pin, level=level):
            check_pin(board, pin, "output")
            if level not in (0, 1):
                raise CallRejected(f"a pin's level is 0 or 1, not {level}", next_step="use 1 for on and 0 for off")
        case GpioGet(pin=pin):
            check_pin(board, pin, "input")
        case AdcRead(pin=pin):
            check_pin(board, pin, "adc")
        case PwmSet(pin=pin, duty=duty, frequency_hz=frequency_hz):
            check_pin(board, pin, "pwm")
            if not 0 <= duty <= MAX_DUTY:
                raise CallRejected(
                    f"a PWM duty is 0 to {MAX_DUTY}, not {duty}", next_step="255 is always on, 128 is half"
                )
            if not 1 <= frequency_hz <= MAX_PWM_HZ:
                raise CallRejected(
                    f"a PWM frequency is 1 to {MAX_PWM_HZ} Hz, not {frequency_hz}", next_step="5000 Hz suits an LED"
                )
        case _:
            pass
