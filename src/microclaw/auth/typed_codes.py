"""Codes that devices show at one host of a cluster, typed at another.

A device waits at the host that it reached. Whoever types its code elsewhere takes it in the store that all hosts share,
with the wish; the device's host does it and writes what became of it. So a code works once, and the device's host alone
says when it is over.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from microclaw.auth.codes import DEVICE, Codes
from microclaw.errors import (
    ConfigError,
    DeviceError,
    DeviceUnreachable,
    MicroclawError,
    StoreError,
    StoreUnreachable,
    UnknownName,
)
from microclaw.store.codes import CodeRow
from microclaw.text import host_called

ANSWER_S: Final = 20.0
SHOW_S: Final = 3.0  # a device waits for its code for 5 s
_ERRORS: Final = {
    kind.__name__: kind for kind in (ConfigError, DeviceError, DeviceUnreachable, StoreError, UnknownName)
}

_log = logging.getLogger(__name__)


class Wish(msgspec.Struct, frozen=True):
    """What the person who typed a code wants, as PairingService.confirm has it. `number` is no other wish's."""

    number: str = ""
    name: str | None = None
    device_id: str | None = None
    board_id: str | None = None
    by: str | None = None


class _Answer(msgspec.Struct, frozen=True):
    """The id of the device that was paired, or an error of _ERRORS; `is_good`: its code can be typed again."""

    device_id: str = ""
    error: str = ""
    message: str = ""
    next_step: str | None = None
    is_good: bool = False


@dataclass(frozen=True, slots=True)
class WaitingDevice:
    """A device that shows a code, without the code."""

    address: str
    board: str
    seconds_left: int


class TypedCodes:
    """What the hosts of a cluster share of devices' codes; of a single host, its own alone. Of a row `about` is the
    board and the address. `carry_out` pairs the device that waits here with the code of this hash, and returns its id;
    LookupError where none does. To be opened by `look` once."""

    def __init__(self, codes: Codes, carry_out: Callable[[bytes, Wish], Awaitable[str]]) -> None:
        self._codes = codes
        self._table = codes.table
        self._carry_out = carry_out
        self._elsewhere: tuple[CodeRow, ...] = ()
        self._news = asyncio.Event()
        self._done: dict[str, str] = {}  # answers that could not be written yet, by the wish
        self._table.follow(self.look)

    async def show(self, row: CodeRow) -> bool:
        """A device that reached this host shows the code; False where one shows it already. StoreError."""
        try:
            async with asyncio.timeout(SHOW_S):
                return await self._codes.add(row)
        except TimeoutError as exc:
            text = "what the hosts of the cluster share does not answer: a code would be good at this host alone"
            raise StoreUnreachable(text, next_step="let the device ask again; microclaw cluster status") from exc

    def waiting(self) -> tuple[WaitingDevice, ...]:
        """Devices that other hosts show, as far as this host's clock is theirs."""
        now_ms = self._codes.now_ms()
        return tuple(
            WaitingDevice(address, board, -(-min(row.until_ms - now_ms, row.until_ms - row.made_ms) // 1000))
            for row in self._elsewhere
            for board, _, address in [row.about.partition(" ")]
            if row.until_ms > now_ms
        )

    async def order(self, code: str, wish: Wish) -> str | None:
        """Have the device that shows the code at another host paired; its id, None where nobody shows it.

        Raises what that host did, and DeviceUnreachable where it does not answer.
        """
        wish = msgspec.structs.replace(wish, number=secrets.token_hex(8))
        row = await self._table.want(DEVICE.name, DEVICE.hash(code), msgspec.json.encode(wish).decode())
        if row is None:
            return None
        answer = await self._answer(row)
        if not answer.is_good:  # nobody tells this host of what it writes itself
            self._elsewhere = tuple(one for one in self._elsewhere if one.hash != row.hash)
        try:
            await self._table.settle(row, is_good=answer.is_good)
        except StoreError as exc:  # what was wanted is done, or refused, all the same
            _log.warning("a device's code is not forgotten yet: %s", exc.message)
        if answer.error:
            kind = _ERRORS.get(answer.error, DeviceError)
            raise kind(answer.message, next_step=answer.next_step)
        return answer.device_id

    async def _answer(self, row: CodeRow) -> _Answer:
        try:
            async with asyncio.timeout(ANSWER_S):
                while True:
                    news = self._news
                    found = await self._table.get(row)
                    if found is None or found.wish != row.wish:
                        break
                    if found.answer is not None:
                        return msgspec.json.decode(found.answer, type=_Answer)
                    await news.wait()
        except TimeoutError:
            pass
        raise DeviceUnreachable(
            f"the host {host_called(row.host)}, which the device reached, does not answer",
            next_step="it may be paired all the same: microclaw device list; else let it ask for a new code",
        )

    async def look(self) -> None:
        """Take over what other hosts wrote, and do what they want of this one."""
        self._elsewhere = tuple(row for row in await self._codes.list(DEVICE) if row.host != (self._table.host or ""))
        news, self._news = self._news, asyncio.Event()
        news.set()
        wanted = await self._table.wanted(DEVICE.name)
        open_ones = {row.wish for row in wanted}
        self._done = {wish: answer for wish, answer in self._done.items() if wish in open_ones}
        for row in wanted:
            wish = row.wish or ""
            if wish not in self._done:  # else it is done, and only its answer could not be written
                answer = await self._outcome(row, wish)
                self._done[wish] = msgspec.json.encode(answer).decode()
            await self._table.answer(row, self._done[wish])

    async def _outcome(self, row: CodeRow, wish: str) -> _Answer:
        try:
            return _Answer(await self._carry_out(row.hash, msgspec.json.decode(wish, type=Wish)))
        except LookupError:
            text = "the device went away while it was being paired, or its code was typed at its own host"
            return _Answer(error="DeviceUnreachable", message=text, next_step="let it ask for a new code")
        except MicroclawError as exc:
            name = next((kind.__name__ for kind in type(exc).__mro__ if kind.__name__ in _ERRORS), "DeviceError")
            return _Answer("", name, exc.message, exc.next_step, is_good=name != "DeviceUnreachable")
        except Exception:  # the host that asks must not wait for it
            _log.exception("a device could not be paired for another host")
            step = f"see microclaw.log at {host_called(row.host)}, then type the code again"
            return _Answer("", "DeviceError", f"pairing failed at the host {host_called(row.host)}", step, is_good=True)
