"""Acts at a stock board's pins: our program for them comes for each act, and stays while it holds a pin.

Stock firmware has no requests for pins: pin_program.c has them. It is taken off at once when it holds nothing. One that
a host left behind is found in the board's list: it is asked what it holds, and taken off if that is nothing.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from microclaw.boards.profile import BoardProfile
from microclaw.devices.calls import (
    AppInstall,
    Call,
    GpioGet,
    GpioSet,
    I2cAddresses,
    I2cRead,
    I2cScan,
    PinLevel,
    PwmSet,
    PwmState,
    SensorReading,
)
from microclaw.devices.transport import HeldAs
from microclaw.errors import AppNotFound, CallRejected, DeviceError, DeviceTimeout, ProtocolError, TooManyApps

PIN_PROGRAM: Final = "microclaw-pins"
HEAP_BYTES: Final = 2048
TIMERS: Final = 4
HELD_URL: Final = "pins/held"
MAX_PWM_HZ: Final = 9000  # pwm_open's, of LEDC's 13 bits

_ADDRESSES: Final[Mapping[str, tuple[int, ...]]] = {"bme280": (0x76, 0x77), "ina219": (0x40,)}
_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "bme280": ("temperature_c", "humidity_pct", "pressure_hpa"),
    "ina219": ("voltage_v", "current_ma", "power_mw"),
}
_ANSWER: Final = re.compile(r"(ok|busy|bad|nobody)((?: -?\d{1,10}){0,128});((?: \d{1,2}[gp]){0,64})")
_REASONS: Final = {
    "busy": ("the firmware refused to open it: a program on the board has it open", "see which: microclaw app list"),
    "bad": ("the program for pins cannot do that", "see what the board offers: microclaw device show"),
    "nobody": ("nobody answered on the I2C bus", "check the wires and the address: i2c.scan"),
}


class PinAnswer(Struct, frozen=True):
    """The answer of the program: its word, numbers, and by pin what it holds there."""

    word: str
    numbers: tuple[int, ...]
    held: Mapping[int, HeldAs]


def pin_methods(board: BoardProfile) -> frozenset[str]:
    """The methods that the program has with this board's firmware."""
    nodes = board.firmware.device_nodes
    if "gpio" in nodes:
        offered = {"gpio.set", "gpio.get"}
    else:
        offered = set[str]()
    if "ledc" in nodes:
        offered |= {"pwm.set"}
    if "i2c" in nodes and board.i2c is not None:
        offered |= {"i2c.scan", "i2c.read"}
    needed = ("wasm_register_resource", "wasm_response_send")
    has_requests = all(board.firmware.has_native(name, "app_framework") for name in needed)
    if has_requests:
        return frozenset(offered)
    return frozenset()


def pin_url(board: BoardProfile, call: Call[Any]) -> str:
    """The url that asks for this call. Raises CallRejected for what the program cannot do."""
    match call:
        case GpioSet(pin=pin, level=level):
            return f"pins/set/{pin}/{level}"
        case GpioGet(pin=pin):
            return f"pins/get/{pin}"
        case PwmSet(pin=pin, duty=duty, frequency_hz=frequency_hz):
            if frequency_hz > MAX_PWM_HZ:
                text = f"this firmware's PWM goes up to {MAX_PWM_HZ} Hz, not {frequency_hz}"
                raise CallRejected(text, next_step="5000 Hz suits an LED")
            return f"pins/pwm/{pin}/{duty}/{frequency_hz}"
        case I2cScan():
            return "pins/scan"
        case I2cRead(sensor=sensor):
            if sensor not in _FIELDS or board.i2c is None:
                text = f"there is no driver for {sensor[:32]!r} here"
                raise CallRejected(text, next_step=f"there are {', '.join(sorted(_FIELDS))}")
            first, *others = _ADDRESSES[sensor]
            known = board.i2c.sensors.get(sensor, first)
            return f"pins/{sensor}/{known}/{next(iter(others), known)}"
        case _:
            raise AssertionError(f"{call.method} is not asked of the program for pins")


def pin_result(call: Call[Any], answer: PinAnswer) -> Any:
    """The result of the call. Raises CallRejected for a refusal, ProtocolError for numbers that do not fit the call."""
    if answer.word != "ok":
        reason, step = _REASONS[answer.word]
        raise CallRejected(f"{call.method}: {reason}", next_step=step)
    match call, answer.numbers:
        case (GpioSet(pin=pin) | GpioGet(pin=pin), (level,)):
            return PinLevel(pin, level)
        case (PwmSet(pin=pin), (duty, frequency_hz)):
            return PwmState(pin, duty, frequency_hz)
        case (I2cScan(), addresses):
            return I2cAddresses(addresses)
        case (I2cRead(sensor=sensor), numbers) if len(numbers) == len(_FIELDS[sensor]):
            values = {name: number / 1000 for name, number in zip(_FIELDS[sensor], numbers, strict=True)}
            return SensorReading(sensor, values)
    raise ProtocolError(f"{PIN_PROGRAM} answered {call.method} with {len(answer.numbers)} numbers")


def pin_source(board: BoardProfile) -> str:
    """The program in C, with the parts that this firmware has."""
    methods = pin_methods(board)
    source = Path(__file__).with_name("pin_program.c").read_text(encoding="utf-8")
    return f"#define HAS_PWM {int('pwm.set' in methods)}\n#define HAS_I2C {int('i2c.scan' in methods)}\n{source}"


_DRIVES: Final = (GpioSet, PwmSet)


class PinActs:
    """One board's. `held`: the pins that our program holds there, as far as it was asked."""

    def __init__(
        self,
        install: Callable[[AppInstall], Awaitable[None]],
        uninstall: Callable[[str], Awaitable[None]],
        ask: Callable[[str, str], Awaitable[bytes | None]],
    ) -> None:
        """`ask` gives the body of a program's answer to a url, None for silence."""
        self._install_app = install
        self._uninstall_app = uninstall
        self._ask_app = ask
        self.held: Mapping[int, HeldAs] = {}
        self._is_known = False  # what it holds, and whether it is there

    async def tidy(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The board's list, without a program of ours that a host left behind and that holds nothing."""
        if PIN_PROGRAM not in names:
            self.held = {}
            self._is_known = True
            return names
        if self._is_known:
            return names
        try:
            answer = await self._ask(HELD_URL)
        except (DeviceError, ProtocolError):  # a list must not fail for it; the next one asks again
            return names
        if answer.held:
            return names
        await self._take_off()
        return tuple(name for name in names if name != PIN_PROGRAM)

    async def act(self, call: Call[Any], board: BoardProfile, names: tuple[str, ...]) -> Any:
        """Do it with our program, which is installed where it is not there yet. Raises TooManyApps, CallRejected."""
        url = pin_url(board, call)
        if PIN_PROGRAM not in names:
            await self._install(board, names)
        try:
            answer = await self._ask(url)
        except BaseException:
            # Where the program may have set the pin, it stays: taking it off would change the pin once more.
            if not self.held and not isinstance(call, _DRIVES):
                with suppress(DeviceError):
                    await self._take_off()
            raise
        if not answer.held:
            await self._take_off()
        return pin_result(call, answer)

    async def _install(self, board: BoardProfile, names: tuple[str, ...]) -> None:
        limit = board.firmware.max_apps
        if len(names) >= limit:
            raise TooManyApps(
                f"its firmware has no function for pins: a program of microclaw's does it, and all {limit} places are "
                f"taken, by {', '.join(sorted(names))}",
                next_step="take one of them off for it: microclaw app uninstall NAME",
            )
        from microclaw.wasm.compile import compile_module  # only a board that has such a program needs it

        image = await compile_module(pin_source(board), board, name=PIN_PROGRAM, optimization="Os")
        self.held = {}
        self._is_known = False
        await self._install_app(AppInstall(PIN_PROGRAM, image.wasm, HEAP_BYTES, TIMERS))
        self._is_known = True

    async def _ask(self, url: str) -> PinAnswer:
        self._is_known = False
        body = await self._ask_app(PIN_PROGRAM, url)
        if body is None:
            text = f"{PIN_PROGRAM} did not answer; outcome unknown"
            raise DeviceTimeout(text, next_step="look at the pin itself, then try again")
        found = _ANSWER.fullmatch(text := body[:1024].decode("ascii", "replace"))
        if found is None:
            raise ProtocolError(f"{PIN_PROGRAM} answered {text[:80]!r}")
        self.held = {int(word[:-1]): "level" if word[-1] == "g" else "pwm" for word in found[3].split()}
        self._is_known = True
        return PinAnswer(found[1], tuple(map(int, found[2].split())), self.held)

    async def _take_off(self) -> None:
        with suppress(AppNotFound):
            await self._uninstall_app(PIN_PROGRAM)
        self.held = {}
        self._is_known = True
