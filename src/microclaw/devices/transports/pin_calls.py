"""Calls for a stock board's pins: microclaw's program is installed for each call, and stays while it holds a pin.

Stock firmware has no requests for pins: programs/wasm/pin_program.c has them. It is uninstalled as soon as it holds
nothing. If an earlier host left it on the board, the board's list has it: it is asked for its pins, and uninstalled if
it holds none.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final, TypeAlias

from msgspec import Struct

from microclaw.devices.registry.call_acts import act_words
from microclaw.devices.registry.calls import (
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
from microclaw.devices.registry.transport import HeldAs
from microclaw.errors import AppNotFound, CallRejected, DeviceError, DeviceTimeout, ProtocolError, TooManyApps
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.reader import i2c_sensors

PIN_PROGRAM: Final = "microclaw-pins"
HEAP_BYTES: Final = 2048
TIMERS: Final = 4
HELD_URL: Final = "pins/held"
# The program reads so many numbers of a url (ASKED in pin_program.c), for I2cRead the addresses to try.
MAX_ADDRESSES: Final = 16
# The limit of pwm_open, from LEDC's 13 bits.
MAX_PWM_HZ: Final = 9000
BuildPinProgram: TypeAlias = Callable[[BoardProfile], Awaitable[bytes]]

_ANSWER: Final = re.compile(r"(ok|busy|bad|nobody)((?: -?\d{1,10}){0,128});((?: \d{1,2}[gp]){0,64})")
_REASONS: Final = {
    "busy": ("the firmware refused to open it: a program on the board has it open", "see which: microclaw app list"),
    "bad": ("the program for pins cannot do that", "see its capabilities: microclaw device show"),
    "nobody": ("no device answered on the I2C bus", "check the wires and the address: i2c.scan"),
}


class PinAnswer(Struct, frozen=True):
    """The answer of the program: its word, numbers, and the pins that it holds."""

    word: str
    numbers: tuple[int, ...]
    held: Mapping[int, HeldAs]


def pin_methods(board: BoardProfile) -> frozenset[str]:
    """Return the methods that the program has with this board's firmware."""
    natives = ("wasm_register_resource", "wasm_response_send")
    if not all(board.firmware.has_native(name, "app_framework") for name in natives):
        return frozenset()
    nodes = board.firmware.device_nodes
    methods = set[str]()
    if "gpio" in nodes:
        methods |= {"gpio.set", "gpio.get"}
    if "ledc" in nodes:
        methods |= {"pwm.set"}
    if "i2c" in nodes and board.i2c is not None:
        methods |= {"i2c.scan", "i2c.read"}
    return frozenset(methods)


def pin_url(board: BoardProfile, call: Call[Any]) -> str:
    """Return the url of a call. Raises CallRejected if the program cannot do it."""
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
            addresses = _sensor_addresses(board, sensor)
            return f"pins/{sensor}/{'/'.join(map(str, addresses))}"
        case _:
            raise AssertionError(f"{call.method} is not a call of the program for pins")


def _sensor_addresses(board: BoardProfile, sensor: str) -> tuple[int, ...]:
    """Return the addresses at which the sensor may answer, first that of the board's profile. Raises CallRejected."""
    part = i2c_sensors().get(sensor)
    if part is None or part.i2c is None or board.i2c is None:
        text = f"there is no driver for {sensor[:32]!r} here"
        raise CallRejected(text, next_step=f"there are {', '.join(i2c_sensors())}")
    addresses = list(part.i2c.addresses)
    soldered_address = board.i2c.sensors.get(sensor)
    if soldered_address is not None:
        addresses.insert(0, soldered_address)
    return tuple(dict.fromkeys(addresses))[:MAX_ADDRESSES]


def pin_result(call: Call[Any], answer: PinAnswer) -> Any:
    """Return the result of the call. Raises CallRejected for a refusal, ProtocolError if the numbers do not fit."""
    if answer.word != "ok":
        reason, step = _REASONS[answer.word]
        raise CallRejected(f"the board did not {act_words(call.method)}: {reason}", next_step=step)
    match call, answer.numbers:
        case (GpioSet(pin=pin) | GpioGet(pin=pin), (level,)):
            return PinLevel(pin, level)
        case (PwmSet(pin=pin), (duty, frequency_hz)):
            return PwmState(pin, duty, frequency_hz)
        case (I2cScan(), addresses):
            return I2cAddresses(addresses)
        case (I2cRead(sensor=sensor), numbers) if len(numbers) == len(i2c_sensors()[sensor].measures):
            fields = i2c_sensors()[sensor].reading_fields
            values = {name: number / 1000 for name, number in zip(fields, numbers, strict=True)}
            return SensorReading(sensor, values)
    raise ProtocolError(f"{PIN_PROGRAM} answered {call.method} with {len(answer.numbers)} numbers")


_DRIVES: Final = (GpioSet, PwmSet)


class PinCalls:
    """The calls for one board's pins. `held`: the pins that microclaw's program holds, as of its last answer."""

    def __init__(
        self,
        install: Callable[[AppInstall], Awaitable[None]],
        uninstall: Callable[[str], Awaitable[None]],
        ask: Callable[[str, str], Awaitable[bytes | None]],
        build: BuildPinProgram | None,
    ) -> None:
        """Create it. `ask` returns the body of a program's answer to a url, or None if there is no answer.

        Without `build`, which builds the program, there are no calls for pins.
        """
        self._install_app = install
        self._uninstall_app = uninstall
        self._ask_app = ask
        self._build = build
        self.held: Mapping[int, HeldAs] = {}
        # True if `held` is the program's present state.
        self._is_known = False

    def methods(self, board: BoardProfile) -> frozenset[str]:
        """Return the methods of the calls that `act` does."""
        if self._build is None:
            return frozenset()
        return pin_methods(board)

    async def tidy(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Uninstall a pin program that an earlier host left and that holds nothing. Returns the remaining names."""
        if PIN_PROGRAM not in names:
            self.held = {}
            self._is_known = True
            return names
        if self._is_known:
            return names
        try:
            answer = await self._ask(HELD_URL)
        except (DeviceError, ProtocolError):
            # The list of programs must not fail for it, and the next list tries again.
            return names
        if answer.held:
            return names
        await self._remove()
        return tuple(name for name in names if name != PIN_PROGRAM)

    async def act(self, call: Call[Any], board: BoardProfile, names: tuple[str, ...]) -> Any:
        """Do a call with microclaw's program, which is installed if it is missing. Raises TooManyApps, CallRejected."""
        url = pin_url(board, call)
        if PIN_PROGRAM not in names:
            await self._install(board, names)
        try:
            answer = await self._ask(url)
        except BaseException:
            # If the program may have set the pin, it stays: uninstalling it would change the pin again.
            if not self.held and not isinstance(call, _DRIVES):
                with suppress(DeviceError):
                    await self._remove()
            raise
        if not answer.held:
            await self._remove()
        return pin_result(call, answer)

    async def _install(self, board: BoardProfile, names: tuple[str, ...]) -> None:
        limit = board.firmware.max_apps
        if len(names) >= limit:
            raise TooManyApps(
                f"its firmware has no function for pins: a program of microclaw's does it, and all {limit} places are "
                f"taken, by {', '.join(sorted(names))}",
                next_step="take one of them off for it: microclaw app uninstall NAME",
            )
        assert self._build is not None
        program = await self._build(board)
        self.held = {}
        self._is_known = False
        await self._install_app(AppInstall(PIN_PROGRAM, program, HEAP_BYTES, TIMERS))
        self._is_known = True

    async def _ask(self, url: str) -> PinAnswer:
        self._is_known = False
        body = await self._ask_app(PIN_PROGRAM, url)
        if body is None:
            text = f"{PIN_PROGRAM} did not answer; outcome unknown"
            raise DeviceTimeout(text, next_step="look at the pin itself, then try again")
        text = body[:1024].decode("ascii", "replace")
        match = _ANSWER.fullmatch(text)
        if match is None:
            raise ProtocolError(f"{PIN_PROGRAM} answered {text[:80]!r}")
        numbers = tuple(map(int, match[2].split()))
        held: dict[int, HeldAs] = {}
        for word in match[3].split():
            held[int(word[:-1])] = "level" if word[-1] == "g" else "pwm"
        self.held = held
        self._is_known = True
        return PinAnswer(match[1], numbers, held)

    async def _remove(self) -> None:
        with suppress(AppNotFound):
            await self._uninstall_app(PIN_PROGRAM)
        self.held = {}
        self._is_known = True
