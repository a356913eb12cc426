"""The codes that devices show, as a person types them: bounded tries, and codes of devices at other hosts.

In a cluster a device waits at the host that it reached. Whoever types its code elsewhere takes the code in the store
that all hosts share, with what is wanted; the device's host does it and writes what became of it. So a code works once,
and the device's host alone says when it is over.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from microclaw.audit import AuditEvent, AuditKind, Record
from microclaw.auth.one_time_codes import code_hash
from microclaw.errors import (
    ConfigError,
    DeviceError,
    DeviceUnreachable,
    MicroclawError,
    Overloaded,
    StoreError,
    StoreUnreachable,
    UnknownName,
)
from microclaw.store.codes import CodeRow, CodeTable
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


class _Shown(msgspec.Struct, frozen=True):
    board: str
    address: str


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
    """`others` None: there are no other hosts. `clock_s` is monotonic."""

    def __init__(
        self,
        tries: WrongTries,
        clock_s: Callable[[], float],
        record: Record,
        *,
        code_life_s: float,
        others: CodesOfHosts | None = None,
    ) -> None:
        self._tries = tries
        self._clock_s = clock_s
        self._record = record
        self._code_life_s = code_life_s
        self.others = others

    def check(self, by: str | None) -> None:
        """Overloaded while no code is looked at."""
        if (locked_s := self._tries.locked_s(self._clock_s())) > 0:
            self._record(AuditEvent(AuditKind.CODE_LOCKED, "devices' codes, after too many wrong ones", by=by))
            raise Overloaded(
                f"pairing is locked after {self._tries.most} wrong codes",
                next_step=f"wait {locked_s:.0f} s, then type the code the device shows now",
            )

    async def elsewhere(self, code: str, wish: Wish) -> str:
        """Pair the device that shows the code at another host; its id. To be called after `check`; raises as
        PairingService.confirm."""
        paired = None if self.others is None else await self.others.order(code, wish)
        if paired is None:
            self._tries.add(self._clock_s())
            self._record(AuditEvent(AuditKind.CODE_WRONG, "typed to let a device in", by=wish.by))
            step = f"type the 6 digits it shows; they change after {self._code_life_s:.0f} s"
            raise UnknownName("no device waits with that code", next_step=step)
        return paired


class CodesOfHosts:
    """What the hosts of a cluster share of devices' codes. To be opened by `look` once."""

    def __init__(self, codes: CodeTable, *, now_ms: Callable[[], int]) -> None:
        self._codes = codes
        self._now_ms = now_ms
        self._elsewhere: tuple[CodeRow, ...] = ()
        self._news = asyncio.Event()
        self._done: dict[str, str] = {}  # answers that could not be written yet, by the wish
        self.carry_out: Callable[[bytes, Wish], Awaitable[str]] | None = None
        """Pairs the device that waits here with the code of this hash; its id. LookupError where none does."""
        codes.follow(self.look)

    async def show(self, code: str, *, board: str, address: str, life_s: float) -> bool:
        """A device that reached this host shows the code; False where one shows it already. StoreError."""
        now_ms = self._now_ms()
        about = msgspec.json.encode(_Shown(board, address)).decode()
        until_ms = now_ms + int(life_s * 1000)
        row = CodeRow("device", code_hash("device", code), self._codes.host, about, now_ms, until_ms)
        try:
            async with asyncio.timeout(SHOW_S):
                return await self._codes.add(row, now_ms)
        except TimeoutError as exc:
            text = "what the hosts of the cluster share does not answer: a code would be good at this host alone"
            raise StoreUnreachable(text, next_step="let the device ask again; microclaw cluster status") from exc

    def forget(self, code: str) -> None:
        """No device shows it here any more."""
        self._codes.forget_later("device", code_hash("device", code))

    def waiting(self) -> tuple[WaitingDevice, ...]:
        """Devices that other hosts show, as far as this host's clock is theirs."""
        now_ms, found = self._now_ms(), []
        for row in self._elsewhere:
            if row.until_ms > now_ms:
                shown = msgspec.json.decode(row.about, type=_Shown)
                left_s = -(-min(row.until_ms - now_ms, row.until_ms - row.made_ms) // 1000)
                found.append(WaitingDevice(shown.address, shown.board, left_s))
        return tuple(found)

    async def order(self, code: str, wish: Wish) -> str | None:
        """Have the device that shows the code at another host paired; its id, None where nobody shows it.

        Raises what that host did, and DeviceUnreachable where it does not answer.
        """
        wish = msgspec.structs.replace(wish, number=secrets.token_hex(8))
        row = await self._codes.want("device", code_hash("device", code), msgspec.json.encode(wish).decode())
        if row is None:
            return None
        answer = await self._answer(row)
        if not answer.is_good:  # nobody tells this host of what it writes itself
            self._elsewhere = tuple(one for one in self._elsewhere if one.hash != row.hash)
        try:
            await self._codes.settle(row, is_good=answer.is_good)
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
                    found = await self._codes.get(row.kind, row.hash)
                    if found is None or found.wanted != row.wanted:
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
        rows = await self._codes.list("device", self._now_ms())
        self._elsewhere = tuple(row for row in rows if row.host != self._codes.host)
        news, self._news = self._news, asyncio.Event()
        news.set()
        if self.carry_out is not None:
            wanted = await self._codes.wanted_of("device")
            open_ones = {row.wanted for row in wanted}
            self._done = {wish: answer for wish, answer in self._done.items() if wish in open_ones}
            for row in wanted:
                await self._do(row, self.carry_out)

    async def _do(self, row: CodeRow, carry_out: Callable[[bytes, Wish], Awaitable[str]]) -> None:
        assert row.wanted is not None
        if row.wanted not in self._done:  # else it is done, and only its answer could not be written
            answer = await _outcome(row, row.wanted, carry_out)
            self._done[row.wanted] = msgspec.json.encode(answer).decode()
        await self._codes.answer(row, self._done[row.wanted])


async def _outcome(row: CodeRow, wanted: str, carry_out: Callable[[bytes, Wish], Awaitable[str]]) -> _Answer:
    try:
        return _Answer(await carry_out(row.hash, msgspec.json.decode(wanted, type=Wish)))
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


def plain_code(code: str) -> str:
    """As a device shows it, however a person typed it."""
    return re.sub(r"[\s-]", "", code)


class WrongTries:
    """Counts wrong tries over a minute, and locks for a minute after `most`."""

    def __init__(self, most: int, lock_s: float) -> None:
        self.most = most
        self._lock_s = lock_s
        self._times: deque[float] = deque(maxlen=most)
        self._locked_until = float("-inf")

    def add(self, now_s: float) -> None:
        self._times.append(now_s)
        if len(self._times) == self._times.maxlen and now_s - self._times[0] < self._lock_s:
            self._locked_until = now_s + self._lock_s
            self._times.clear()

    def locked_s(self, now_s: float) -> float:
        """How long it stays locked, 0 when it is open."""
        return max(0.0, self._locked_until - now_s)
