"""Codes by which the owner lets unknown senders of channels in."""

from __future__ import annotations

import asyncio
import math
from typing import Final

from microclaw.audit import AuditEvent, AuditKind, Record
from microclaw.auth.codes import PERSON, Codes
from microclaw.errors import Overloaded, PermissionRefused, UnknownName
from microclaw.store.codes import CodeRow

OWNER_NAME: Final = "owner"  # who alone types them


class PairingCodes:
    """One an account, so many a channel. Of a row the holder is the account, the place its channel."""

    def __init__(self, codes: Codes, record: Record) -> None:
        self._codes = codes
        self._record = record
        self._asking = asyncio.Lock()  # two messages of one sender get one code
        self._told: dict[bytes, str] = {}  # what this host told an account: it gets the same again

    async def waiting(self) -> tuple[tuple[CodeRow, float], ...]:
        """Who got a code and waits for the owner, the oldest first; and for how many seconds more."""
        now_ms = self._codes.now_ms()
        return tuple((row, (row.until_ms - now_ms) / 1000) for row in await self._codes.list(PERSON))

    async def ask(self, channel: str, external_id: str, display_name: str) -> str:
        """A code that an unknown sender shows the owner: one an account, the same one while it lasts.

        Accounts have no address that could be shared out by range. So where every place is taken, the oldest that is
        older than `kept_s` gives way, and Overloaded is raised only where none is. After a restart, and at another host
        of a cluster, an account gets a new code, which ends the one before.
        """
        async with self._asking:
            rows = await self._codes.list(PERSON)
            self._told = {row.hash: self._told[row.hash] for row in rows if row.hash in self._told}
            here = [row for row in rows if row.place == channel]
            gone = tuple(row for row in here if row.holder == external_id)
            if told := next((self._told[row.hash] for row in gone if row.hash in self._told), None):
                return told
            if not gone:
                gone = self._room(here, channel, external_id)
            shown = " ".join(display_name.split())[:40]
            code, row = await self._codes.give(PERSON, external_id, channel, shown, instead_of=gone)
            self._told[row.hash] = code
            event = AuditEvent(AuditKind.PAIRING_ASKED, f"{shown or 'somebody'} in {channel}", about=external_id)
            self._record(event)
            return code

    def _room(self, here: list[CodeRow], channel: str, external_id: str) -> tuple[CodeRow, ...]:
        """What gives way to one more code of the channel."""
        now_ms = self._codes.now_ms()
        gone = PERSON.giving_way(here, external_id, channel, now_ms)
        if gone is None:
            text = f"{PERSON.of_place} people of {channel} wait to be let in already"
            self._record(AuditEvent(AuditKind.PAIRING_REFUSED, text, about=external_id))
            left_s = math.ceil(PERSON.kept_s - (now_ms - here[0].made_ms) / 1000)
            raise Overloaded(text, next_step=f"write again in {left_s} s")
        for row in gone:
            text = f"every place of {channel} is taken: the oldest code gave way to a newer one"
            self._record(AuditEvent(AuditKind.PAIRING_REFUSED, text, about=row.holder))
        return gone

    async def find(self, code: str) -> CodeRow:
        """Whom the code is for. UnknownName for a wrong one, PermissionRefused after many of them."""
        if (wait_s := self._codes.locked_s(PERSON)) > 0:
            self._record(AuditEvent(AuditKind.CODE_LOCKED, "people's codes, after too many wrong ones", by=OWNER_NAME))
            raise PermissionRefused(
                f"{PERSON.wrong_tries} wrong codes within a minute: no code is looked at for a while",
                next_step=f"wait {wait_s:.0f} s",
            )
        if (row := await self._codes.find(PERSON, code)) is not None:
            return row
        self._codes.wrong(PERSON)
        self._record(AuditEvent(AuditKind.CODE_WRONG, "typed to let a person in", by=OWNER_NAME))
        raise _unknown("this code is wrong, or its ten minutes are over")

    async def spend(self, row: CodeRow) -> None:
        """It opens nothing any more. UnknownName where it was used meanwhile, at whichever host."""
        if not await self._codes.table.spend(row):
            raise _unknown("this code was used meanwhile, or its ten minutes are over")


def _unknown(text: str) -> UnknownName:
    return UnknownName(text, next_step="write to the bot again: it answers with a code")
