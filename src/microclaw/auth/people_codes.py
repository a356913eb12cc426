"""Codes by which the owner lets unknown senders of channels in: in memory, or shared by the hosts of a cluster."""

from __future__ import annotations

import asyncio
import json
import math
import re
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from microclaw.audit import AuditEvent, AuditKind, Record
from microclaw.auth.one_time_codes import OneTimeCodes, code_hash
from microclaw.errors import Overloaded, PermissionRefused, UnknownName
from microclaw.store.codes import CodeRow

CODE_DIGITS: Final = 6
CODE_S: Final = 600.0
CODES_A_CHANNEL: Final = 64
KEPT_S: Final = 120.0  # an account keeps its place at least so long; then the oldest gives way where all are taken
WRONG_CODES: Final = 5  # in WRONG_CODES_S, then none is looked at
WRONG_CODES_S: Final = 60.0
OWNER_NAME: Final = "owner"  # who alone types them


@dataclass(frozen=True, slots=True)
class WaitingPerson:
    """An unknown sender who got a code and waits for the owner. The code itself is not in it."""

    channel: str
    external_id: str
    display_name: str
    seconds_left: float


@dataclass(frozen=True, slots=True)
class PairingCode:
    hash: bytes
    channel: str
    external_id: str
    display_name: str
    until_s: float

    @property
    def account(self) -> tuple[str, str]:
        return self.channel, self.external_id


class PairingCodes:
    """One an account, for CODE_S; so many a channel."""

    def __init__(
        self, codes: OneTimeCodes, now_s: Callable[[], float], new_code: Callable[[], str] | None, record: Record
    ) -> None:
        self._codes = codes
        self._now_s = now_s
        self._new_code = new_code or _random_code
        self._record = record
        self._asking = asyncio.Lock()  # two messages of one sender get one code
        self._told: dict[tuple[str, str], str] = {}  # what this host told each account: it gets the same again
        self._wrong: deque[float] = deque(maxlen=WRONG_CODES)

    async def waiting(self) -> tuple[WaitingPerson, ...]:
        now_s = self._now_s()
        return tuple(
            WaitingPerson(code.channel, code.external_id, code.display_name, code.until_s - now_s)
            for code in await self._alive()
        )

    async def ask(self, channel: str, external_id: str, display_name: str) -> str:
        """A code that an unknown sender shows the owner: one an account, the same one while it lasts.

        Accounts have no address that could be shared out by range. So where every place is taken, the oldest that is
        older than KEPT_S gives way, and Overloaded is raised only where none is. Of a cluster's hosts another one gives
        an account a new code, which ends the one before.
        """
        async with self._asking:
            alive = await self._alive()
            known = {code.hash for code in alive}
            self._told = {who: told for who, told in self._told.items() if code_hash("person", told) in known}
            if (told := self._told.get((channel, external_id))) is not None:
                return told
            if await self._codes.catch_up():  # it may have a code of another host
                alive = await self._alive()
            gone = [code for code in alive if code.account == (channel, external_id)]
            gone = gone or self._room(alive, channel, external_id)
            shown = " ".join(display_name.split())[:40]
            fresh = self._new_code()
            while not await self._add(fresh, (channel, external_id, shown), gone):
                fresh = self._new_code()
            self._told[channel, external_id] = fresh
            event = AuditEvent(AuditKind.PAIRING_ASKED, f"{shown or 'somebody'} in {channel}", about=external_id)
            self._record(event)
            return fresh

    async def _add(self, code: str, about: tuple[str, str, str], gone: Sequence[PairingCode]) -> bool:
        now_ms = int(self._now_s() * 1000)
        until_ms = now_ms + int(CODE_S * 1000)
        digest = code_hash("person", code)
        row = CodeRow("person", digest, self._codes.host, json.dumps(about), now_ms, until_ms)
        return await self._codes.add(row, now_ms, instead_of=[one.hash for one in gone])

    def _room(self, alive: Sequence[PairingCode], channel: str, external_id: str) -> list[PairingCode]:
        """What gives way to one more code of the channel."""
        here = [code for code in alive if code.channel == channel]  # the oldest first
        if len(here) < CODES_A_CHANNEL:
            return []
        kept_s = here[0].until_s - CODE_S + KEPT_S - self._now_s()
        if kept_s > 0:
            text = f"{CODES_A_CHANNEL} people of {channel} wait to be let in already"
            self._record(AuditEvent(AuditKind.PAIRING_REFUSED, text, about=external_id))
            raise Overloaded(text, next_step=f"write again in {math.ceil(kept_s)} s")
        text = f"every place of {channel} is taken: the oldest code gave way to a newer one"
        self._record(AuditEvent(AuditKind.PAIRING_REFUSED, text, about=here[0].external_id))
        return here[:1]

    async def spend(self, asked: PairingCode) -> None:
        """It opens nothing any more. UnknownName where it was used meanwhile, at whichever host."""
        if await self._codes.take("person", asked.hash, int(self._now_s() * 1000)) is None:
            raise _unknown("this code was used meanwhile, or its ten minutes are over")

    async def _alive(self) -> Sequence[PairingCode]:
        """The oldest first."""
        rows = await self._codes.list("person", int(self._now_s() * 1000))
        return [_code_of(row) for row in rows]

    async def find(self, code: str) -> PairingCode:
        """What the code is for. UnknownName for a wrong one, PermissionRefused after many of them."""
        now_s = self._now_s()
        if len(self._wrong) == WRONG_CODES and now_s - self._wrong[0] < WRONG_CODES_S:
            self._record(AuditEvent(AuditKind.CODE_LOCKED, "people's codes, after too many wrong ones", by=OWNER_NAME))
            raise PermissionRefused(
                f"{WRONG_CODES} wrong codes within a minute: no code is looked at for a while",
                next_step=f"wait {WRONG_CODES_S - (now_s - self._wrong[0]):.0f} s",
            )
        digest = code_hash("person", re.sub(r"[\s-]", "", code))
        found = await self._known(digest)
        if found is None and await self._codes.catch_up():
            found = await self._known(digest)
        if found is not None:
            return found
        self._wrong.append(now_s)
        self._record(AuditEvent(AuditKind.CODE_WRONG, "typed to let a person in", by=OWNER_NAME))
        raise _unknown("this code is wrong, or its ten minutes are over")

    async def _known(self, digest: bytes) -> PairingCode | None:
        return next((code for code in await self._alive() if secrets.compare_digest(code.hash, digest)), None)


def _code_of(row: CodeRow) -> PairingCode:
    channel, external_id, display_name = json.loads(row.about)
    return PairingCode(row.hash, channel, external_id, display_name, row.until_ms / 1000)


def _unknown(text: str) -> UnknownName:
    return UnknownName(text, next_step="write to the bot again: it answers with a code")


def _random_code() -> str:
    return f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}d}"
