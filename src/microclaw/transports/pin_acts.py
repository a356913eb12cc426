"""Acts at a stock board's pins: our program for them comes for each act, and stays while it holds a pin.

It is taken off at once when it holds nothing. One that a host left behind is found in the board's list: it is asked
what it holds, and taken off if that is nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from microclaw.boards.profile import BoardProfile
from microclaw.devices.calls import AppInstall, Call, GpioSet, PwmSet
from microclaw.devices.transport import HeldAs
from microclaw.errors import AppNotFound, DeviceError, DeviceTimeout, ProtocolError, TooManyApps
from microclaw.transports.pin_program import (
    HEAP_BYTES,
    HELD_URL,
    PIN_PROGRAM,
    TIMERS,
    PinAnswer,
    pin_result,
    pin_source,
    pin_url,
    read_answer,
)

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
        self._install_app, self._uninstall_app, self._ask_app = install, uninstall, ask
        self.held: Mapping[int, HeldAs] = {}
        self._is_known = False  # what it holds, and whether it is there

    async def tidy(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The board's list, without a program of ours that a host left behind and that holds nothing."""
        if PIN_PROGRAM not in names:
            self.held, self._is_known = {}, True
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
        self.held, self._is_known = {}, False
        await self._install_app(AppInstall(PIN_PROGRAM, image.wasm, HEAP_BYTES, TIMERS))
        self._is_known = True

    async def _ask(self, url: str) -> PinAnswer:
        self._is_known = False
        body = await self._ask_app(PIN_PROGRAM, url)
        if body is None:
            raise DeviceTimeout(
                f"{PIN_PROGRAM} did not answer; outcome unknown", next_step="look at the pin itself, then try again"
            )
        answer = read_answer(body)
        self.held, self._is_known = answer.held, True
        return answer

    async def _take_off(self) -> None:
        with suppress(AppNotFound):
            await self._uninstall_app(PIN_PROGRAM)
        self.held, self._is_known = {}, True
